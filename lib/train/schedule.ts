import { checkInteger } from '../check.js';

/** How the learning rate changes during training. */
export const schedules = ['cosine', 'constant', 'paper-code'] as const;
/**
 * - `cosine`: a linear warm-up over some steps, then half a cosine down to 0 at the last step
 * - `constant`: the same warm-up, then the learning rate unchanged
 * - `paper-code`: as in the authors' script, once per epoch: learningRate / 20 in epoch 0, then
 *   learningRate / 2 * (1 + cos(pi (epoch - 1) / epochs))
 */
export type ScheduleName = (typeof schedules)[number];

/** Everything a schedule depends on. */
export interface Schedule {
  readonly name: ScheduleName;
  /** Highest learning rate. */
  readonly learningRate: number;
  /** Steps of the warm-up; not used by `paper-code`. */
  readonly warmupSteps: number;
  readonly epochs: number;
  readonly stepsPerEpoch: number;
}

/** Default number of warm-up steps: 200, but at most a fifth of a short run. */
function defaultWarmupSteps(totalSteps: number): number {
  return Math.min(200, Math.floor(totalSteps / 5));
}

/**
 * The learning rate of a step.
 *
 * @param step counted from 0 over all epochs
 */
export function learningRateAt(schedule: Schedule, step: number): number {
  const { name, learningRate, warmupSteps, epochs, stepsPerEpoch } = schedule;
  if (name === 'paper-code') {
    const epoch = Math.floor(step / stepsPerEpoch);
    if (epoch === 0) return learningRate / 20;
    return (learningRate / 2) * (1 + Math.cos((Math.PI * (epoch - 1)) / epochs));
  }
  if (step < warmupSteps) return (learningRate * (step + 1)) / warmupSteps;
  if (name === 'constant') return learningRate;
  const rest = epochs * stepsPerEpoch - warmupSteps;
  return (learningRate / 2) * (1 + Math.cos((Math.PI * (step - warmupSteps)) / rest));
}

/** Checks a number of warm-up steps against the run, and returns it. */
export function checkWarmup(value: number | undefined, totalSteps: number): number {
  return checkInteger(value ?? defaultWarmupSteps(totalSteps), 'warmupSteps', 0, totalSteps);
}
