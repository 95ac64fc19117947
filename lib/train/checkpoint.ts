import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { countClasses, type Dataset } from '../data/dataset.js';
import type { SamplingName } from '../data/sampling.js';
import { CountenanceError, messageOf } from '../errors.js';
import { kindOf, checkDirectory, readRegularFile } from '../files.js';
import { callNative } from '../load-native.js';
import type { ModelInternals } from '../model/model.js';
import type { CardDetails } from '../model/card.js';
import { insideDirectory, modelFiles } from '../model/directory.js';
import { checkState } from '../model/state.js';
import type { NativeTrainer } from '../native.js';
import { inTurns } from '../turns.js';
import type { StateDict } from '../types.js';
import { recoverDirectory, saveDirectory } from '../weights/directory.js';
import { encodeSafetensors, readSafetensors } from '../weights/safetensors.js';
import { stoppingStart, type EarlyStopping, type StoppingState } from './early-stopping.js';
import type { BestEpoch } from './events.js';
import type { WeightDecayTarget } from './groups.js';
import type { ScheduleName } from './schedule.js';
import type { ResolvedTrainerOptions } from './options.js';
import type { EpochTotals } from './totals.js';

/** The files of a checkpoint besides those of a model directory. */
const stateFiles = { json: 'trainer_state.json', tensors: 'trainer_state.safetensors' } as const;

/** Folder of the newest checkpoint inside a run's directory. */
export const lastFolder = 'last';

const formatVersion = 1;

/** The position of a run between two steps. */
export interface Progress {
  /** Counted from 0. */
  epoch: number;
  /** Images of the epoch that are done. */
  position: number;
  /** Steps of the run that are done. */
  step: number;
  totals: EpochTotals;
  best: BestEpoch | null;
  stopping: StoppingState;
}

/** Settings that a resumed run must share with the interrupted one to get the same bits. */
export interface RunSettings {
  readonly trainer: Omit<ResolvedTrainerOptions, 'threads' | 'guard' | 'weightDecayOn'> & {
    /** Only if it is not `all`. */
    readonly weightDecayOn?: WeightDecayTarget;
  };
  readonly fit: {
    readonly epochs: number;
    readonly batchSize: number;
    readonly schedule: ScheduleName;
    readonly warmupSteps: number;
    readonly dropLast: boolean;
    /** Only if images are not simply shuffled; weights in the order of the classes. */
    readonly sampling?: SamplingName;
    readonly classWeights?: readonly number[];
    readonly earlyStopping?: EarlyStopping;
  };
  readonly data: DataFingerprint;
  readonly validation: DataFingerprint | null;
}

/** Identifies a data set, to detect changes. */
export interface DataFingerprint {
  readonly name: string;
  readonly size: number;
  /** Of the classes and of all labels in order. */
  readonly labels: string;
}

/** The content of `trainer_state.json`. */
export interface CheckpointState {
  readonly format_version: number;
  readonly progress: Readonly<Progress>;
  /** The trainer's own step count: keys its random numbers and AdamW's corrections. */
  readonly stepCount: number;
  readonly settings: RunSettings;
  /** Stored for the caller; see {@link CheckpointOptions.metadata}. */
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Fingerprint of a data set. */
export function fingerprint(dataset: Dataset): DataFingerprint {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([dataset.classes, dataset.targetKind, countClasses(dataset)]));
  hash.update(Int32Array.from({ length: dataset.size }, (_, i) => dataset.label(i)));
  return { name: dataset.name, size: dataset.size, labels: hash.digest('hex').slice(0, 16) };
}

/** Writes a checkpoint: a model directory and the trainer's state, completely or not at all. */
export async function saveCheckpoint(
  directory: string,
  model: ModelInternals,
  native: NativeTrainer,
  state: Omit<CheckpointState, 'format_version' | 'stepCount'>,
  details: CardDetails,
): Promise<void> {
  const files = await model.gate.alone(async () => {
    const content = await model.files(details);
    const slots: StateDict = new Map();
    await inTurns(readSlots(model, native, slots));
    const { stepCount } = native;
    const json: CheckpointState = { format_version: formatVersion, stepCount, ...state };
    content.set(stateFiles.json, `${JSON.stringify(json, undefined, 2)}\n`);
    content.set(stateFiles.tensors, encodeSafetensors(slots));
    return content;
  });
  await saveDirectory(directory, files);
}

function* readSlots(
  model: ModelInternals,
  native: NativeTrainer,
  slots: StateDict,
): Generator<number> {
  for (const [slot, { name, shape }] of slotNames(model, native)) {
    const data = callNative(() => native.readSlot(slot, name));
    slots.set(`${slot}.${name}`, { shape, data });
    yield data.length;
  }
}

function slotNames(model: ModelInternals, native: NativeTrainer) {
  const trainable = callNative(() => model.native.tensors()).filter((tensor) => tensor.trainable);
  return callNative(() => native.slots()).flatMap((slot) =>
    trainable.map((tensor) => [slot, tensor] as const),
  );
}

/**
 * The checkpoint in a directory: the directory itself or its folder `last`.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_DIRECTORY, ERR_CHECKPOINT
 */
export async function findCheckpoint(directory: string): Promise<string> {
  await checkDirectory(directory, 'Checkpoint');
  for (const candidate of [directory, join(directory, lastFolder)]) {
    if ((await kindOf(candidate)) !== 'directory') continue;
    await recoverDirectory(candidate);
    if ((await kindOf(join(candidate, stateFiles.json))) === 'file') return candidate;
  }
  throw badCheckpoint(
    directory,
    `neither it nor its folder '${lastFolder}' holds ${stateFiles.json}`,
  );
}

/** Reads `trainer_state.json`. `directory` comes from {@link findCheckpoint}. */
export async function readCheckpointState(directory: string): Promise<CheckpointState> {
  const file = join(directory, stateFiles.json);
  const bytes = await readRegularFile(file, 'File');
  let state: CheckpointState;
  try {
    state = JSON.parse(bytes.toString('utf8')) as CheckpointState;
  } catch (error) {
    throw badCheckpoint(directory, `${stateFiles.json} is not JSON: ${messageOf(error)}`);
  }
  const { format_version: found, progress, settings } = state ?? {};
  if (found !== formatVersion) {
    throw badCheckpoint(
      directory,
      `its format_version is ${String(found)}; this version reads ${formatVersion}`,
    );
  }
  const counts = [progress?.epoch, progress?.position, progress?.step, state.stepCount];
  if (!counts.every((count) => Number.isSafeInteger(count) && count >= 0) || !settings) {
    throw badCheckpoint(directory, `${stateFiles.json} is incomplete`);
  }
  return state;
}

/**
 * Loads a checkpoint into a model and its trainer.
 *
 * @throws CountenanceError ERR_CHECKPOINT if it was made with other settings (each is named) or is
 *   damaged; ERR_SHAPE_MISMATCH if it belongs to another model
 */
export async function restoreCheckpoint(
  directory: string,
  model: ModelInternals,
  native: NativeTrainer,
  settings: RunSettings,
): Promise<Progress> {
  const state = await readCheckpointState(directory);
  const differences = compareSettings(state.settings, settings);
  if (differences.length > 0) {
    throw badCheckpoint(directory, `it was made with ${differences.join(', ')}`);
  }
  const read = (name: string) =>
    insideDirectory(directory, () => readSafetensors(join(directory, name)));
  const weights = await read(modelFiles.weights);
  const slots = await read(stateFiles.tensors);
  await inTurns(checkState(slots.tensors, `'${join(directory, stateFiles.tensors)}'`));
  const wanted = slotNames(model, native);
  for (const [slot, { name, shape }] of wanted) {
    const tensor = slots.tensors.get(`${slot}.${name}`);
    if (tensor?.shape.join() !== shape.join()) {
      const problem = tensor ? `has '${slot}.${name}' in another shape` : `lacks '${slot}.${name}'`;
      throw badCheckpoint(directory, `${stateFiles.tensors} ${problem}`);
    }
  }
  await model.gate.alone(async () => {
    await model.restore(weights.tensors, `'${join(directory, modelFiles.weights)}'`);
    await inTurns(
      (function* () {
        for (const [slot, { name }] of wanted) {
          const { data } = slots.tensors.get(`${slot}.${name}`)!;
          callNative(() => native.writeSlot(slot, name, data));
          yield data.length;
        }
      })(),
    );
    callNative(() => (native.stepCount = state.stepCount));
  });
  // Checkpoints from before early stopping existed say nothing about it.
  const progress: Readonly<Omit<Progress, 'stopping'> & Partial<Progress>> = state.progress;
  const { totals, stopping = stoppingStart } = progress;
  return { ...progress, totals: { ...totals }, stopping };
}

/** `batchSize 64 (now 32)` for each setting that differs. */
function compareSettings(before: RunSettings, now: RunSettings): string[] {
  const old = new Map(leaves(before));
  const current = new Map(leaves(now));
  return [...new Set([...current.keys(), ...old.keys()])]
    .filter((path) => !path.endsWith('.name') && old.get(path) !== current.get(path))
    .map((path) => {
      const [was, is] = [old.get(path) ?? 'not set', current.get(path) ?? 'not set'];
      return `${path.replace(/^(trainer|fit)\./, '')} ${was} (now ${is})`;
    });
}

/** Every value of a nested object with its path, as JSON text. */
function leaves(value: unknown, path = ''): [string, string][] {
  if (typeof value !== 'object' || value === null) return [[path, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, inner]) =>
    leaves(inner, path ? `${path}.${key}` : key),
  );
}

function badCheckpoint(directory: string, reason: string): CountenanceError {
  return new CountenanceError(
    'ERR_CHECKPOINT',
    `Checkpoint '${directory}' is not usable: ${reason}`,
  );
}
