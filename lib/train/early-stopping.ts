import { checkInteger, checkNumber, checkObject } from '../check.js';

/** When a training run ends before its last epoch. */
export interface EarlyStopping {
  /** Epochs without a better validation accuracy after which training ends, at least 1. */
  readonly patience: number;
  /** The minimum improvement that counts, 0..1; default 0: anything above the best so far. */
  readonly minDelta?: number;
}

/** What early stopping remembers between epochs; kept in checkpoints. */
export interface StoppingState {
  /** Accuracy that the next epochs are compared with; -1 before the first. */
  readonly accuracy: number;
  /** Epochs since it was reached. */
  readonly waited: number;
}

/** The state before the first epoch. */
export const stoppingStart: StoppingState = { accuracy: -1, waited: 0 };

/** The state after an epoch with this validation accuracy. */
export function observeEpoch(
  state: StoppingState,
  accuracy: number,
  { minDelta }: Required<EarlyStopping>,
): StoppingState {
  const isBetter = accuracy > state.accuracy + minDelta;
  return isBetter ? { accuracy, waited: 0 } : { ...state, waited: state.waited + 1 };
}

/** Checks the option of fit, and fills in its default. */
export function checkEarlyStopping(
  value: EarlyStopping | null | undefined,
): Required<EarlyStopping> | null {
  if (value === undefined || value === null) return null;
  checkObject(value, 'earlyStopping');
  return {
    patience: checkInteger(value.patience, 'earlyStopping.patience', 1),
    minDelta: checkNumber(value.minDelta ?? 0, 'earlyStopping.minDelta', [0, 1]),
  };
}
