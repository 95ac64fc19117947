import { join } from 'node:path';
import type { Batch } from '../data/loader.js';
import { CountenanceError, isAbortOf, throwIfAborted } from '../errors.js';
import { awaitNative, callNative } from '../load-native.js';
import type { Metrics } from '../metrics.js';
import { evaluateLoader } from '../model/evaluate.js';
import type { NativeStepResult } from '../native.js';
import { saveDirectory } from '../weights/directory.js';
import { findCheckpoint, lastFolder, restoreCheckpoint, saveCheckpoint } from './checkpoint.js';
import type {
  CheckpointEvent,
  EndEvent,
  EpochEvent,
  StartEvent,
  StepEvent,
  TrainingEvent,
} from './events.js';
import { observeEpoch } from './early-stopping.js';
import { cardDetails, summarise, type Run } from './run.js';
import { learningRateAt } from './schedule.js';
import { addStep, lossesOf, meansOf, noTotals, Throughput } from './totals.js';
import { oneHot } from './targets.js';

/** Runs a prepared training; see {@link Trainer.fit}. */
export async function* fit(run: Run): AsyncGenerator<TrainingEvent, void, undefined> {
  const started = performance.now();
  const { signal } = run.fit;
  const from = run.fit.resume === null ? null : await resume(run, run.fit.resume);
  yield startEvent(run, from);
  try {
    while (run.progress.epoch < run.fit.epochs && !hasStopped(run)) yield* epoch(run);
  } catch (error) {
    if (!isAbortOf(signal, error)) throw error;
    if (run.fit.checkpoint?.onAbort) yield await checkpoint(run, 'abort');
    throw new CountenanceError(
      'ERR_ABORTED',
      `Training was aborted in epoch ${Math.min(run.progress.epoch + 1, run.fit.epochs)} after ` +
        `step ${run.progress.step}`,
      { cause: signal?.reason },
    );
  }
  yield endEvent(run, started);
}

function hasStopped({ fit, progress }: Run): boolean {
  return fit.earlyStopping !== null && progress.stopping.waited >= fit.earlyStopping.patience;
}

async function resume(run: Run, directory: string): Promise<string> {
  const found = await findCheckpoint(directory);
  const progress = await restoreCheckpoint(found, run.internals, run.native, run.settings);
  Object.assign(run.progress, progress);
  return found;
}

async function* epoch(run: Run): AsyncGenerator<TrainingEvent, void, undefined> {
  const { progress, fit, schedule } = run;
  const { signal } = fit;
  const started = performance.now();
  const throughput = new Throughput();
  let images = 0;
  let learningRate = learningRateAt(schedule, Math.max(progress.step - 1, 0));
  const underWay: StepUnderWay[] = [];
  const { native } = run;
  const stepsAhead = callNative(() => native.stepsAhead);
  // Waits for the oldest step and counts it; a failed one changed nothing, and neither did those after it.
  const finish = async (): Promise<StepEvent> => {
    const { batch, learningRate: rate, result: promise } = underWay.shift()!;
    const result = await promise;
    const size = batch.indices.length;
    addStep(progress.totals, result, size);
    progress.position = batch.position + size;
    progress.step += 1;
    images += size;
    return stepEvent(run, result, size, rate, throughput.add(size));
  };
  const batches = run.train.epoch(progress.epoch, { position: progress.position, signal });
  try {
    for await (const batch of batches) {
      throwIfAborted(signal, 'Training');
      learningRate = learningRateAt(schedule, progress.step + underWay.length);
      underWay.push(startStep(run, batch, learningRate));
      const every = fit.checkpoint?.everySteps;
      const saves = every !== undefined && (progress.step + underWay.length) % every === 0;
      const mayRun = saves ? 0 : stepsAhead;
      while (underWay.length > mayRun) yield await finish();
      if (saves) {
        yield await checkpoint(run, 'steps');
        throughput.restart();
      }
      throwIfAborted(signal, 'Training');
    }
    while (underWay.length > 0) yield await finish();
  } finally {
    // Whatever ended the loop, wait for the steps under way: they count.
    while (underWay.length > 0) await finish().catch(() => undefined);
  }
  const trainingSeconds = (performance.now() - started) / 1000;

  const validation = await validateAndKeepBest(run);
  const event: EpochEvent = {
    type: 'epoch',
    epoch: progress.epoch + 1,
    epochs: fit.epochs,
    step: progress.step,
    ...meansOf(progress.totals),
    learningRate,
    validation: validation.metrics,
    best: validation.best,
    imagesPerSecond: images / Math.max(trainingSeconds, 1e-3),
    seconds: (performance.now() - started) / 1000,
  };
  if (fit.earlyStopping && validation.metrics) {
    const { accuracy } = validation.metrics;
    progress.stopping = observeEpoch(progress.stopping, accuracy, fit.earlyStopping);
  }
  progress.epoch += 1;
  progress.position = 0;
  progress.totals = noTotals();
  const saved = fit.checkpoint ? await checkpoint(run, 'epoch') : undefined;
  yield event;
  if (saved) yield saved;
}

/** A step that was requested. */
interface StepUnderWay {
  readonly batch: Batch;
  readonly learningRate: number;
  readonly result: Promise<NativeStepResult>;
}

function startStep(run: Run, batch: Batch, learningRate: number): StepUnderWay {
  const { images, labels, targets, indices, draws, epoch } = batch;
  const result = run.internals.gate.beside(() =>
    awaitNative(() =>
      run.native.step({
        images,
        targets: targets ?? oneHot(labels, run.model.config.classes.length),
        size: indices.length,
        augment: true,
        epoch,
        samples: draws,
        learningRate,
      }),
    ),
  );
  result.catch(() => undefined); // reported when its turn comes
  return { batch, learningRate, result };
}

/** Evaluates the epoch and saves its model if it is the best so far; without validation each one is. */
async function validateAndKeepBest(
  run: Run,
): Promise<{ readonly metrics: Metrics | null; readonly best: boolean }> {
  const { progress, fit } = run;
  return withAverage(run, async () => {
    const metrics = run.validation
      ? await evaluateLoader(run.model, run.validation, { signal: fit.signal })
      : null;
    const best = metrics === null || metrics.accuracy > (progress.best?.accuracy ?? -1);
    if (best && fit.checkpoint) {
      const details = cardDetails(run, metrics);
      const files = await run.internals.gate.alone(() => run.internals.files(details));
      await saveDirectory(fit.checkpoint.directory, files);
    }
    if (best && metrics) {
      const { accuracy, meanClassAccuracy } = metrics;
      progress.best = { epoch: progress.epoch + 1, accuracy, meanClassAccuracy };
    }
    return { metrics, best };
  });
}

/** Runs work with the average of the weights in their place, if there is one. */
async function withAverage<T>(run: Run, work: () => Promise<T>): Promise<T> {
  if (run.options.emaDecay === 0) return work();
  const swap = (): Promise<void> =>
    run.internals.gate.alone(() => callNative(() => run.native.swapAverage()));
  await swap();
  try {
    return await work();
  } finally {
    await swap();
  }
}

async function checkpoint(run: Run, reason: CheckpointEvent['reason']): Promise<CheckpointEvent> {
  const { directory: parent, metadata = {} } = run.fit.checkpoint!;
  const { progress, settings } = run;
  const directory = join(parent, lastFolder);
  const details = cardDetails(run, null);
  await saveCheckpoint(
    directory,
    run.internals,
    run.native,
    { progress, settings, metadata },
    details,
  );
  const { epochs } = run.fit;
  const epochNumber = reason === 'epoch' ? progress.epoch : Math.min(progress.epoch + 1, epochs);
  return { type: 'checkpoint', directory, reason, epoch: epochNumber, step: progress.step };
}

function startEvent(run: Run, from: string | null): StartEvent {
  const { model, fit, schedule, settings, progress, options } = run;
  return {
    type: 'start',
    device: model.device,
    parameters: model.parameterCount,
    epochs: fit.epochs,
    batchSize: settings.fit.batchSize,
    stepsPerEpoch: schedule.stepsPerEpoch,
    learningRate: options.learningRate,
    train: summarise(run.train.dataset),
    validation: run.validation ? summarise(run.validation.dataset) : null,
    epochsDone: progress.epoch,
    resumed: from === null ? null : { directory: from, step: progress.step },
  };
}

function stepEvent(
  run: Run,
  result: NativeStepResult,
  size: number,
  learningRate: number,
  imagesPerSecond: number,
): StepEvent {
  const { progress, schedule } = run;
  return {
    type: 'step',
    epoch: progress.epoch + 1,
    step: progress.step,
    totalSteps: schedule.epochs * schedule.stepsPerEpoch,
    ...lossesOf(result, size),
    learningRate,
    gradientNorm: result.gradientNorm,
    imagesPerSecond,
  };
}

function endEvent(run: Run, started: number): EndEvent {
  return {
    type: 'end',
    epochs: run.fit.epochs,
    stoppedAfter: hasStopped(run) ? run.progress.epoch : null,
    steps: run.progress.step,
    best: run.progress.best,
    model: run.fit.checkpoint?.directory ?? null,
    seconds: (performance.now() - started) / 1000,
  };
}
