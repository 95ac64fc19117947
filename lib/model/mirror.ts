import { inSlices } from '../turns.js';
import { internalsOf, type Model, type ModelOutputs } from './model.js';
import type { RawImage, TensorData } from '../types.js';

/**
 * Images flipped from left to right.
 *
 * @param images (B, S, S, 3) bytes
 * @param side S
 */
export async function mirrorImages(images: Uint8Array, side: number): Promise<Uint8Array> {
  const rowBytes = side * 3;
  const mirrored = new Uint8Array(images.length);
  const rowsPerSlice = Math.ceil((1 << 18) / rowBytes);
  await inSlices(
    images.length / rowBytes,
    (start, end) => {
      for (let at = start * rowBytes; at < end * rowBytes; at += rowBytes) {
        for (let from = at, to = at + rowBytes - 3; to >= at; from += 3, to -= 3) {
          mirrored[to] = images[from]!;
          mirrored[to + 1] = images[from + 1]!;
          mirrored[to + 2] = images[from + 2]!;
        }
      }
    },
    rowsPerSlice,
  );
  return mirrored;
}

/** Outputs of images, and with test-time flip f_e of their mirror images. */
export interface FlippedOutputs extends ModelOutputs {
  readonly mirrored?: TensorData;
}

/**
 * {@link Model.forward} with test-time flip where `flip` asks for it: the logits are the means of those
 * of the images and of their mirror images. The representations stay those of the images.
 *
 * @param images (B, S, S, 3) bytes
 */
export async function forwardImages(
  model: Model,
  images: Uint8Array,
  flip: boolean,
): Promise<FlippedOutputs> {
  if (!flip) return model.forward({ images });
  const mirrored = await mirrorImages(images, model.config.inputSize);
  return meanOfLogits(model.forward({ images }), model.forward({ images: mirrored }));
}

/**
 * {@link forwardImages} of pictures of any size, which the model's device resizes; the outputs are those
 * of `resizeImage`d ones. The pictures must stay as they are until their turn has come.
 */
export async function forwardPictures(
  model: Model,
  pictures: readonly RawImage[],
  flip: boolean,
): Promise<FlippedOutputs> {
  const { native, run } = internalsOf(model);
  const data = pictures.map((picture) => picture.data);
  const sides = Uint32Array.from(pictures.flatMap(({ width, height }) => [width, height]));
  const forward = (mirrored: boolean): Promise<ModelOutputs> =>
    run(pictures.length, () => native.forwardPictures(data, sides, mirrored));
  return flip ? meanOfLogits(forward(false), forward(true)) : forward(false);
}

async function meanOfLogits(
  images: Promise<ModelOutputs>,
  mirrorImages: Promise<ModelOutputs>,
): Promise<FlippedOutputs> {
  const [outputs, others] = await Promise.all([images, mirrorImages]);
  const { data } = outputs.logits;
  for (let i = 0; i < data.length; i++) data[i] = (data[i]! + others.logits.data[i]!) / 2;
  return { ...outputs, mirrored: others.expression };
}
