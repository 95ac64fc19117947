import { lossTermNames, perTerm } from '../../core-options.js';
import { figureNames, type Figures } from '../../metrics.js';
import type { EpochEvent, StepEvent } from '../events.js';

/** `macroF1` -> `validationMacroF1`. */
function validationColumn<Name extends keyof Figures>(name: Name): `validation${Capitalize<Name>}` {
  return `validation${name.charAt(0).toUpperCase()}${name.slice(1)}` as `validation${Capitalize<Name>}`;
}

/** Columns of a log; a row leaves out what its event does not have. */
export const logColumns = [
  'event',
  'time',
  'epoch',
  'step',
  'learningRate',
  'loss',
  ...lossTermNames,
  'accuracy',
  'gradientNorm',
  ...figureNames.map(validationColumn),
  'best',
  'imagesPerSecond',
  'seconds',
] as const;

/** One row of a log, a step or an epoch. */
export type LogRow = Readonly<
  Partial<Record<(typeof logColumns)[number], string | number | boolean>>
>;

/** The row of an event; its losses are those of the step, or means over the epoch. */
export function rowOf(event: StepEvent | EpochEvent): LogRow {
  const { type, epoch, step, learningRate, loss } = event;
  const common = {
    ...{ event: type, time: new Date().toISOString(), epoch, step, learningRate },
    ...{ loss, ...perTerm((name) => event[name]), accuracy: event.accuracy },
    imagesPerSecond: event.imagesPerSecond,
  };
  if (event.type === 'step') return { ...common, gradientNorm: event.gradientNorm };
  const { validation, best, seconds } = event;
  return {
    ...common,
    ...(validation &&
      Object.fromEntries(figureNames.map((name) => [validationColumn(name), validation[name]]))),
    best,
    seconds,
  };
}
