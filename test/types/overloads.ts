import { expectTypeOf } from 'expect-type';
import type {
  Dataset,
  Embedding,
  EndEvent,
  FacePrediction,
  Model,
  Prediction,
  Predictor,
  Ranked,
  StepResult,
  StreamedPrediction,
  Trainer,
  TrainingEvent,
  TrainingRun,
} from '../../lib/index.js';
import { evaluate, openDataset, type Evaluation } from '../../lib/index.js';
import type { WeightsFile } from '../../lib/weights/index.js';
import { openWeights } from '../../lib/weights/index.js';

// The result types of calls, by their arguments. Nothing here runs: overloads.test.ts compiles it.

export function prediction(predictor: Predictor, paths: readonly string[]): void {
  expectTypeOf(predictor.predict('a.jpg')).toEqualTypeOf<Promise<Prediction>>();
  expectTypeOf(predictor.predict(paths)).toEqualTypeOf<Promise<Prediction[]>>();
  expectTypeOf(predictor.predict('a.jpg', { topK: 3 })).toEqualTypeOf<
    Promise<Prediction & Ranked>
  >();
  expectTypeOf(predictor.predict(paths, { topK: 3 })).toEqualTypeOf<
    Promise<(Prediction & Ranked)[]>
  >();
  const oneOrMany: string | readonly string[] = paths.length > 1 ? paths : paths[0]!;
  expectTypeOf(predictor.predict(oneOrMany)).toEqualTypeOf<Promise<Prediction | Prediction[]>>();

  expectTypeOf(predictor.predictFaces('a.jpg')).toEqualTypeOf<Promise<FacePrediction[]>>();
  expectTypeOf(predictor.predictFaces(paths)).toEqualTypeOf<Promise<FacePrediction[][]>>();
  expectTypeOf(predictor.predictFaces('a.jpg', { topK: 1 })).toEqualTypeOf<
    Promise<(FacePrediction & Ranked)[]>
  >();
  expectTypeOf(predictor.predictFaces(paths, { topK: 1 })).toEqualTypeOf<
    Promise<(FacePrediction & Ranked)[][]>
  >();

  expectTypeOf(predictor.embed('a.jpg')).toEqualTypeOf<Promise<Embedding>>();
  expectTypeOf(predictor.embed(paths)).toEqualTypeOf<Promise<Embedding[]>>();

  expectTypeOf(predictor.predictStream(paths)).toEqualTypeOf<
    AsyncGenerator<StreamedPrediction, void, undefined>
  >();
  expectTypeOf(predictor.predictStream(paths, { topK: 2 })).toEqualTypeOf<
    AsyncGenerator<StreamedPrediction & Ranked, void, undefined>
  >();

  // `top` is present only if topK was given.
  expectTypeOf(predictor.predict('a.jpg')).resolves.not.toHaveProperty('top');
  // @ts-expect-error: no image
  void predictor.predict(7);
  // @ts-expect-error: a misspelt option
  void predictor.predict('a.jpg', { topk: 3 });
}

export async function training(trainer: Trainer, dataset: Dataset): Promise<void> {
  const run = trainer.fit(dataset, { epochs: 1 });
  expectTypeOf(run).toEqualTypeOf<TrainingRun>();
  expectTypeOf(await run).toEqualTypeOf<EndEvent>();
  for await (const event of run) {
    expectTypeOf(event).toEqualTypeOf<TrainingEvent>();
    if (event.type === 'end') expectTypeOf(event).toEqualTypeOf<EndEvent>();
  }
  expectTypeOf(
    trainer.step({ images: new Uint8Array(), labels: [0] }),
  ).resolves.toEqualTypeOf<StepResult>();

  // @ts-expect-error: a step needs labels
  void trainer.step({ images: new Uint8Array() });
  // @ts-expect-error: an option of the trainer, not of fit
  trainer.fit(dataset, { optimizer: 'sgd' });
}

export function files(model: Model, dataset: Dataset): void {
  expectTypeOf(openDataset('folder:faces')).resolves.toEqualTypeOf<Dataset>();
  expectTypeOf(evaluate(model, dataset)).resolves.toEqualTypeOf<Evaluation>();
  expectTypeOf(openWeights('model.pth')).resolves.toEqualTypeOf<WeightsFile>();
}
