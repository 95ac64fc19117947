import { internalsOf, type FlippedOutputs, type Model } from './model.js';
import type { RawImage } from '../types.js';

/**
 * {@link Model.forward} of images of any size, which the model's device resizes; the outputs are those
 * of `resizeImage`d ones. With test-time flip (`flip`) the logits are the means of those of the images
 * and of their mirror images; the representations stay those of the images.
 *
 * The images must stay as they are until their turn has come.
 */
export function forwardImages(
  model: Model,
  images: readonly RawImage[],
  flip: boolean,
): Promise<FlippedOutputs> {
  const { native, run } = internalsOf(model);
  const data = images.map((image) => image.data);
  const sides = Uint32Array.from(images.flatMap(({ width, height }) => [width, height]));
  return run(images.length, () => native.forwardImages(data, sides, flip));
}
