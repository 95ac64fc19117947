import { basename, dirname, join, resolve } from 'node:path';
import { canonicalClass } from '../data/classes.js';
import type { Dataset } from '../data/dataset.js';
import { openDataset } from '../data/registry.js';
import { mixDatasets } from '../data/mix.js';
import { limitDataset, selectClasses } from '../data/subset.js';
import { CountenanceError } from '../errors.js';
import { kindOf, readRegularFile } from '../files.js';
import type { ModelOptions } from '../model/config.js';
import { Model } from '../model/model.js';
import { modelFiles, readModelDirectory } from '../model/directory.js';
import type { TextEmbeddings } from '../text/embeddings.js';
import { loadTextEmbeddings } from '../text/file.js';
import { syntheticTextEmbeddings } from '../text/synthetic.js';
import { findCheckpoint, lastFolder, readCheckpointState } from '../train/checkpoint.js';
import type { FileContent } from '../weights/atomic.js';
import { saveDirectory } from '../weights/directory.js';
import { initReport } from './init-report.js';
import { runOptions } from './options.js';
import type { Output } from './output.js';
import { defaultBackbone } from './train-defaults.js';
import type { KeptArguments, TrainArguments } from './train-options.js';
import { defined, modelSettings, readKept, type TrainSettings } from './train-settings.js';

/** A checkpoint that a run continues. */
export interface Resumed {
  /** The checkpoint. */
  readonly checkpoint: string;
  /** The directory of its run, if there is one. */
  readonly run: string | undefined;
  /** The arguments of the interrupted command. */
  readonly options: KeptArguments;
}

/** Finds the checkpoint of `--resume`. */
export async function openCheckpoint(directory: string): Promise<Resumed> {
  const checkpoint = await findCheckpoint(directory);
  const { metadata } = await readCheckpointState(checkpoint);
  const inRun = basename(resolve(checkpoint)) === lastFolder;
  return {
    checkpoint,
    run: inRun ? dirname(checkpoint) : undefined,
    options: readKept(metadata['run'], checkpoint),
  };
}

/** Opens data sets as one, with the command's choice of classes and its limit. */
export async function openLimited(
  specs: readonly string[],
  { classes, limit, seed = 0 }: KeptArguments,
  signal: AbortSignal,
  purpose: 'training' | 'validation',
): Promise<Dataset> {
  const parts: Dataset[] = [];
  for (const spec of specs) parts.push(await openDataset(spec, { signal }));
  let dataset = mixDatasets(parts);
  if (classes) {
    // A validation set may lack a class; a training set may not.
    const own = dataset.classes.map((name) => name.normalize('NFC'));
    const present = classes.filter((name) => own.includes(name.normalize('NFC')));
    dataset = selectClasses(dataset, purpose === 'training' ? classes : present);
  }
  return limit === undefined ? dataset : limitDataset(dataset, limit, seed);
}

/** Makes the model of a new run. */
export async function createModel(
  options: TrainArguments,
  settings: TrainSettings,
  dataset: Dataset,
  signal: AbortSignal,
  output: Output,
): Promise<Model> {
  const { init } = options;
  if (dataset.neutral === null && settings.model.neutral === undefined) {
    throw new CountenanceError(
      'ERR_DATASET_FORMAT',
      `No class is named neutral: tell which one is by --neutral, or rename them (names=... of folder and ` +
        `csv); the classes are ${dataset.classes.join(', ')}`,
    );
  }
  const textEmbeddings = await readText(options.text!, dataset.classes);
  output.note(`text embeddings: ${textEmbeddings.source}`);
  const model = await Model.create({
    backbone: defaultBackbone,
    ...defined({ neutral: dataset.neutral ?? undefined }),
    ...settings.model,
    classes: dataset.classes,
    textEmbeddings,
  });
  if (init === undefined) return model;
  try {
    const report = await model.initialize(init, {
      ...defined({ prefix: options.initPrefix, signal }),
      strict: !options.initPartial,
    });
    output.record({ event: 'init', weights: init, ...report });
    output.note(initReport(init, report));
    return model;
  } catch (error) {
    model.close();
    throw error;
  }
}

/** Text embeddings for classes with the names used by the data set. */
async function readText(source: string, classes: readonly string[]): Promise<TextEmbeddings> {
  if (source === 'synthetic') return syntheticTextEmbeddings(classes);
  const embeddings = await loadTextEmbeddings(source);
  if (!embeddings.classes) return embeddings;
  const renamed = embeddings.classes.map((name) => {
    if (classes.includes(name)) return name;
    return classes.find((wanted) => canonicalClass(wanted) === canonicalClass(name)) ?? name;
  });
  return { ...embeddings, classes: renamed };
}

/**
 * Opens the model of a checkpoint.
 *
 * @throws CountenanceError ERR_CHECKPOINT if the command asks for a different model
 */
export async function loadCheckpointModel(
  options: TrainArguments,
  checkpoint: string,
): Promise<Model> {
  const { options: config } = await readModelDirectory(checkpoint);
  const asked = modelSettings(options);
  for (const name of Object.keys(asked) as (keyof ModelOptions)[]) {
    if (!(name in config)) continue;
    const [value, stored] = [asked[name], config[name]];
    if (value === undefined || value === stored) continue;
    throw new CountenanceError(
      'ERR_CHECKPOINT',
      `Checkpoint '${checkpoint}' is of a model with ${name} ${JSON.stringify(stored)} (now ${JSON.stringify(value)})`,
    );
  }
  return Model.load(checkpoint, runOptions(options));
}

/** Copies the best model so far into another run's directory, if that has none. */
export async function copyBestModel(from: string, to: string): Promise<void> {
  if (resolve(from) === resolve(to)) return;
  if ((await kindOf(join(from, modelFiles.config))) !== 'file') return;
  const files = new Map<string, FileContent>();
  for (const name of Object.values(modelFiles)) {
    files.set(name, await readRegularFile(join(from, name), 'File'));
  }
  await saveDirectory(to, files);
}
