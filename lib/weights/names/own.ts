import type { NameMap } from './name-map.js';

const whole: NameMap = {
  title: 'countenance, or the whole model of the authors',
  anchor: '',
  target: '',
  rules: [
    ['encoder.*', 'encoder.*'],
    ['MLP.*', 'MLP.*'],
  ],
};

/** The names of this package's files, which are those of the authors' whole-model checkpoint. */
export const own: readonly NameMap[] = [whole, { ...whole, anchor: 'MLP.fc1.weight' }];

/** The encoder's own names, or some of them: the fallback if no family fits better. */
export const bare: NameMap = {
  title: 'the names of the encoder itself',
  anchor: '',
  target: 'encoder.',
  rules: [['*', '*']],
};
