import { inSlices } from '../turns.js';

/**
 * CMYK as RGB by Pillow's formula: what paper lets through, without a colour profile.
 *
 * @param channels of a pixel, 4 or more; those after the first four are not colours
 */
export async function cmykToRgb(ink: Uint8Array, channels: number): Promise<Uint8Array> {
  const count = ink.length / channels;
  const rgb = new Uint8Array(count * 3);
  await inSlices(count, (start, end) => {
    for (let pixel = start; pixel < end; pixel++) {
      const from = pixel * channels;
      const light = 255 - ink[from + 3]!;
      for (let c = 0; c < 3; c++) {
        rgb[pixel * 3 + c] = light - Math.round((ink[from + c]! * light) / 255);
      }
    }
  });
  return rgb;
}
