import { embeddingWidth } from './config.js';
import { internalsOf, type Model, type ModelOutputs } from './model.js';
import type { RawImage, TensorData } from '../types.js';

/** Outputs of images, and with test-time flip f_e of their mirror images. */
export interface FlippedOutputs extends ModelOutputs {
  readonly mirrored?: TensorData | undefined;
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
  let mirrored: Float32Array | undefined;
  const outputs = await run(images.length, async () => {
    const pass = await native.forwardImages(data, sides, flip);
    mirrored = pass.mirrored;
    return pass;
  });
  const shape = [images.length, embeddingWidth];
  return { ...outputs, mirrored: mirrored && { shape, data: mirrored } };
}
