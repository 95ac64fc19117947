import { inSlices } from '../slices.js';
import type { Model, ModelOutputs } from '../model.js';
import type { TensorData } from '../types.js';

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

/**
 * {@link Model.forward} with test-time flip where `flip` asks for it: the logits are the means of those
 * of the images and of their mirror images. The representations stay those of the images; `mirrored` is
 * f_e of the mirror images.
 *
 * @param images (B, S, S, 3) bytes
 */
export async function forwardImages(
  model: Model,
  images: Uint8Array,
  flip: boolean,
): Promise<ModelOutputs & { readonly mirrored?: TensorData }> {
  if (!flip) return model.forward({ images });
  const mirrored = await mirrorImages(images, model.config.inputSize);
  const [outputs, others] = await Promise.all([
    model.forward({ images }),
    model.forward({ images: mirrored }),
  ]);
  const { data } = outputs.logits;
  for (let i = 0; i < data.length; i++) data[i] = (data[i]! + others.logits.data[i]!) / 2;
  return { ...outputs, mirrored: others.expression };
}
