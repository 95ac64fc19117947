import { basename } from 'node:path';
import { lossTermNames } from '../core-options.js';
import { checkDataset, countClasses, type Dataset } from '../data/dataset.js';
import { DataLoader, defaultCacheBytes } from '../data/loader.js';
import { openDataset } from '../data/registry.js';
import { classShares, weightsOf } from '../data/sampling.js';
import { alignClasses, stratifiedSplit } from '../data/subset.js';
import { invalidArgument } from '../check.js';
import { throwIfAborted } from '../errors.js';
import type { Metrics } from '../metrics.js';
import type { Model, ModelInternals } from '../model/model.js';
import type { CardDetails } from '../model/card.js';
import { without } from '../model/config.js';
import type { NativeTrainer } from '../native.js';
import { fingerprint, type Progress, type RunSettings } from './checkpoint.js';
import { stoppingStart } from './early-stopping.js';
import type { DatasetSummary } from './events.js';
import type { ResolvedFitOptions } from './fit-options.js';
import { describeGroups } from './groups.js';
import type { ResolvedTrainerOptions } from './options.js';
import { checkWarmup, type Schedule } from './schedule.js';
import { noTotals } from './totals.js';

/** Everything {@link fit} works with. */
export interface TrainerParts {
  readonly model: Model;
  readonly internals: ModelInternals;
  readonly native: NativeTrainer;
  readonly options: ResolvedTrainerOptions;
}

/** A run that is ready to start: data open and checked, schedule fixed. */
export interface Run extends TrainerParts {
  readonly fit: ResolvedFitOptions;
  readonly train: DataLoader;
  readonly validation: DataLoader | null;
  readonly schedule: Schedule;
  readonly settings: RunSettings;
  readonly progress: Progress;
}

/** Opens the data of a run and fixes everything that depends on it. */
export async function prepareRun(
  parts: TrainerParts,
  dataset: Dataset | string,
  fit: ResolvedFitOptions,
): Promise<Run> {
  const { model, options } = parts;
  throwIfAborted(fit.signal, 'Training');
  const data = await openBoth(dataset, fit, model.config.classes, options.seed);
  checkDataset(data.train, 'training');
  if (data.validation) checkDataset(data.validation, 'evaluation');
  if (fit.earlyStopping && !data.validation) {
    throw invalidArgument('a validation set beside earlyStopping', 'validation', null);
  }
  throwIfAborted(fit.signal, 'Training');

  const { inputSize, classes } = model.config;
  const weights = weightsOf(fit.classWeights, classes);
  const isWeighted = fit.sampling !== 'shuffle' || Object.keys(fit.classWeights).length > 0;
  const batchSize = Math.min(fit.batchSize, data.train.size);
  const budget = fit.cacheBytes ?? defaultCacheBytes();
  const validationNeed = (data.validation?.size ?? 0) * inputSize * inputSize * 3;
  const validationBytes = Math.min(validationNeed, Math.floor(budget / 4));
  const train = new DataLoader(data.train, {
    inputSize,
    batchSize,
    shuffle: true,
    shares: isWeighted ? classShares(data.train, fit.sampling, weights) : undefined,
    seed: options.seed,
    dropLast: fit.dropLast,
    cacheBytes: budget - validationBytes,
  });
  const validation =
    data.validation &&
    new DataLoader(data.validation, { inputSize, batchSize: 64, cacheBytes: validationBytes });
  const stepsPerEpoch = train.batchesPerEpoch;
  const warmupSteps = checkWarmup(fit.warmupSteps, stepsPerEpoch * fit.epochs);
  const { epochs, dropLast, schedule: name, sampling, earlyStopping } = fit;
  const { weightDecayOn } = options;
  return {
    ...parts,
    fit,
    train,
    validation,
    schedule: { name, learningRate: options.learningRate, warmupSteps, epochs, stepsPerEpoch },
    settings: {
      trainer: {
        ...without(options, 'threads', 'guard', 'weightDecayOn'),
        ...(weightDecayOn !== 'all' && { weightDecayOn }),
      },
      fit: {
        ...{ epochs, batchSize, schedule: name, warmupSteps, dropLast },
        ...(isWeighted && { sampling, classWeights: weights }),
        ...(earlyStopping && { earlyStopping }),
      },
      data: fingerprint(data.train),
      validation: data.validation ? fingerprint(data.validation) : null,
    },
    progress: {
      epoch: 0,
      position: 0,
      step: 0,
      totals: noTotals(),
      best: null,
      stopping: stoppingStart,
    },
  };
}

async function openBoth(
  dataset: Dataset | string,
  fit: ResolvedFitOptions,
  classes: readonly string[],
  seed: number,
): Promise<{ readonly train: Dataset; readonly validation: Dataset | null }> {
  const open = async (value: Dataset | string): Promise<Dataset> =>
    alignClasses(
      typeof value === 'string' ? await openDataset(value, { signal: fit.signal }) : value,
      classes,
    );
  const train = await open(dataset);
  const { validation } = fit;
  if (typeof validation === 'number') return stratifiedSplit(train, validation, seed);
  return { train, validation: validation === null ? null : await open(validation) };
}

/** The log's description of a data set. */
export function summarise(dataset: Dataset): DatasetSummary {
  const counts = countClasses(dataset);
  return {
    name: dataset.name,
    size: dataset.size,
    classCounts: Object.fromEntries(dataset.classes.map((name, i) => [name, counts[i]!])),
    notes: dataset.notes,
  };
}

/** The model card's description of a run. */
export function cardDetails(run: Run, metrics: Metrics | null): CardDetails {
  const { options, schedule, progress, settings } = run;
  const terms = lossTermNames.map((name) => `${options.lossWeights[name]} x ${name}`);
  return {
    training: [
      `${settings.data.size} images of \`${datasetLabel(settings.data.name)}\`, seed ${options.seed}`,
      `epoch ${progress.epoch + 1} of ${schedule.epochs}, batches of ${settings.fit.batchSize}`,
      `${options.optimizer}, learning rate ${options.learningRate} (${schedule.name}, ` +
        `${schedule.warmupSteps} steps of warm-up), weight decay ${options.weightDecay}` +
        (options.emaDecay > 0 ? `, average of the weights with decay ${options.emaDecay}` : ''),
      ...describeGroups(options),
      ...samplingLines(run),
      `loss: ${terms.join(' + ')} (${options.contrast})`,
      metrics
        ? 'the epoch with the best accuracy on the validation set below; its figures are therefore ' +
          'slightly optimistic'
        : 'the last epoch; no validation set was given',
    ],
    ...(metrics && {
      metrics,
      evaluatedOn: datasetLabel(settings.validation?.name ?? ''),
    }),
  };
}

function samplingLines({ fit }: Run): string[] {
  const weights = Object.entries(fit.classWeights).map(([name, weight]) => `${name} ${weight}`);
  return [
    ...(fit.sampling === 'balanced' ? ['each class drawn equally often'] : []),
    ...(weights.length > 0 ? [`classes drawn more or less often: ${weights.join(', ')}`] : []),
  ];
}

/** A data set's name without the directories above it, which mean nothing to others. */
function datasetLabel(name: string): string {
  const [, format, path, rest = ''] = /^([a-z0-9]+:)([^#]*)(.*)$/s.exec(name) ?? [];
  return format === undefined || path === undefined ? name : `${format}${basename(path)}${rest}`;
}
