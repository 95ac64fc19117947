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

/** An encoder's names as they are here, or some of them: what is left where no family fits better. */
export const bare: NameMap = {
  title: 'the names of the encoder itself',
  anchor: '',
  target: 'encoder.',
  rules: [['*', '*']],
};
