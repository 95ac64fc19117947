/** What every encoder of the core's table does; a new one is a row of `published`. */
import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import {
  exportOnnx,
  Trainer,
  type Backbone,
  type Model,
  type ModelOptions,
  type StepResult,
} from '../../lib/index.js';
import { encoderNamed } from '../../lib/core-options.js';
import { backbones } from '../../lib/model/config.js';
import { elementCount } from '../../lib/types.js';
import { digest, makeModel } from '../api-support.js';
import { temporaryDirectory } from '../data/data-support.js';

/** Parameters of torchvision's network without its classifier. */
const published: Record<Backbone, number> = {
  resnet18: 11_176_512,
  resnet34: 21_284_672,
  resnet50: 23_508_032,
  'swin-t': 27_519_354,
  'swin-s': 48_837_258,
};

/** Patches, for encoders that have them, are those of the published network. */
function options(backbone: Backbone): Partial<ModelOptions> {
  const cuts = encoderNamed(backbone).patchSizes.length > 0;
  return cuts ? { backbone, inputSize: 224, patchSize: 4 } : smallest(backbone);
}

function smallest(backbone: Backbone): Partial<ModelOptions> {
  return { backbone, inputSize: encoderNamed(backbone).leastInput };
}

describe('encoders', function () {
  this.timeout(60_000);
  const temporary = temporaryDirectory();

  for (const backbone of backbones) {
    describe(backbone, () => {
      let model: Model;
      before(async () => {
        model = await makeModel(options(backbone));
      });
      after(() => {
        model.close();
      });

      it('has the parameters of the published network, and a head of its own', () => {
        const { head } = encoderNamed(backbone);
        const isHead = (name: string): boolean =>
          head !== null && name.startsWith(`encoder.${head}`);
        const parameters = [...model.stateDict()].filter(
          ([name]) => name.startsWith('encoder.') && !name.includes('.running_'),
        );
        const count = parameters
          .filter(([name]) => !isHead(name))
          .reduce((sum, [, { shape }]) => sum + elementCount(shape), 0);
        assert.equal(count, published[backbone]);
        assert.equal(
          parameters.some(([name]) => isHead(name)),
          head !== null,
        );
      });

      it('learns: a short step against the gradient g lowers the loss by the step times |g|^2', async () => {
        // Over the four last pixels of the smallest images, batch norm is too ill-conditioned.
        const { leastInput, patchSizes } = encoderNamed(backbone);
        const inputSize = patchSizes.length > 0 ? leastInput : 2 * leastInput;
        await using network = await makeModel({ backbone, inputSize, dropPath: 0 });
        const images = Uint8Array.from({ length: 4 * inputSize ** 2 * 3 }, (_, i) => (i * i) % 251);
        await using trainer = new Trainer(network, {
          optimizer: 'sgd',
          ...{ momentum: 0, weightDecay: 0 },
          augmentation: { cropProbability: 0, flipProbability: 0 },
        });
        const tiny = 1e-30; // moves no weight
        const step = (learningRate: number): Promise<StepResult> =>
          trainer.step({ images, labels: [0, 6, 3, 2], learningRate });
        const { loss, gradientNorm } = await step(tiny);
        const expected = 0.005 * loss;
        await step(expected / gradientNorm ** 2);
        const decrease = loss - (await step(tiny)).loss;
        // The curvature over this step decides the rest.
        assert.ok(Math.abs(decrease / expected - 1) < 0.1, `${decrease / expected}`);
      });

      it('goes to a file and comes back', async () => {
        const file = temporary.path(`${backbone}.safetensors`);
        await model.saveWeights(file);
        await using other = await makeModel({ ...options(backbone), seed: 5 });
        const report = await other.initialize(file);
        assert.deepEqual([report.missing, report.unexpected, report.ignored], [[], [], []]);
        assert.equal(digest(other.stateDict()), digest(model.stateDict()));
      });

      it('is exported to ONNX whole', async () => {
        const file = temporary.path(`${backbone}.onnx`);
        await exportOnnx(model, file);
        assert.ok((await stat(file)).size >= 4 * published[backbone]);
      });
    });
  }
});
