import { resolveConfig } from '../model/config.js';
import { resolveFitOptions } from '../train/fit-options.js';
import { resolveTrainerOptions } from '../train/options.js';
import type { Field } from './train-option.js';

/** The encoder if neither the command nor a preset names one. */
export const defaultBackbone = 'resnet18';

/** Fraction split off for validation by default. */
export const defaultValidationFraction = 0.1;

/** Steps between two checkpoints within an epoch. */
export const defaultCheckpointSteps = 500;

const classes = ['neutral', 'happiness'];
const textEmbeddings = { shape: [classes.length, 0] as const, data: new Float32Array(), classes };
const fit = resolveFitOptions({});
const sgd = {
  trainer: resolveTrainerOptions({}, { backbone: 'resnet18', logitScale: 100 }),
  fit,
  model: resolveConfig({ backbone: 'resnet18', textEmbeddings }),
};
const adamw = {
  trainer: resolveTrainerOptions({}, { backbone: 'swin-t', logitScale: 100 }),
  fit,
  model: resolveConfig({ backbone: 'swin-t', textEmbeddings }),
};

/** The terms of the loss. */
export const lossParts = Object.keys(
  sgd.trainer.lossWeights,
) as (keyof typeof sgd.trainer.lossWeights)[];

/**
 * The library's default of a field, for the help text.
 *
 * @param other the name under which the text also gives the default for AdamW, which Swin is trained
 *   with; without it the field has a single default
 */
export function defaultOf(field: Field, other?: string): string {
  const swin = valueAt(adamw, field);
  return other === undefined ? swin : `${valueAt(sgd, field)}, for ${other} ${swin}`;
}

/** The value of a field, as text. */
function valueAt(resolved: object, field: Field): string {
  const value = field
    .split('.')
    .reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], resolved);
  return String(value);
}
