import { internalsOf, type Model, type ModelOutputs } from './model.js';
import type { RawImage, TensorData } from '../types.js';

/** Outputs of images, and with test-time flip f_e of their mirror images. */
export interface FlippedOutputs extends ModelOutputs {
  readonly mirrored?: TensorData;
}

/**
 * {@link Model.forward} of images of any size, which the model's device resizes; the outputs are those
 * of `resizeImage`d ones. With test-time flip (`flip`) the logits are the means of those of the images
 * and of their mirror images; the representations stay those of the images.
 *
 * The images must stay as they are until their turn has come.
 */
export async function forwardImages(
  model: Model,
  images: readonly RawImage[],
  flip: boolean,
): Promise<FlippedOutputs> {
  const { native, run } = internalsOf(model);
  const data = images.map((image) => image.data);
  const sides = Uint32Array.from(images.flatMap(({ width, height }) => [width, height]));
  const forward = (mirrored: boolean): Promise<ModelOutputs> =>
    run(images.length, () => native.forwardImages(data, sides, mirrored));
  if (!flip) return forward(false);
  const [outputs, others] = await Promise.all([forward(false), forward(true)]);
  const { logits } = outputs;
  const mean = logits.data.map((value, i) => (value + others.logits.data[i]!) / 2);
  return { ...outputs, logits: { ...logits, data: mean }, mirrored: others.expression };
}
