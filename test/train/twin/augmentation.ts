/**
 * A second implementation of the augmentation of a training image, written from the recipe for the tests:
 * what native/image/augment.h draws and native/backend/cpu/images/prepare_images.cpp does.
 */
import { philox4x32 } from '../../../lib/philox.js';

/** Probabilities and ranges of the recipe in docs/METHOD.md. */
const recipe = {
  crop: 0.5,
  padding: 4,
  flip: 0.5,
  erase: 0.5,
  area: [0.02, 0.25],
  aspect: [0.3, 3.3],
};

/** The operations on one image. */
export interface Drawn {
  /** Where the crop starts, from the image's own corner, or undefined without a crop. */
  readonly shift: { readonly y: number; readonly x: number } | undefined;
  readonly flip: boolean;
  readonly box: Box | undefined;
}

export interface Box {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
}

/** 64-bit FNV-1a. */
function hashName(name: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(name)) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  }
  return hash;
}

const streams = hashName('augment');

/** The values that seed, epoch and sample determine for an image with a side of `size` pixels. */
export function drawAugmentation(size: number, seed: number, epoch: number, sample: number): Drawn {
  const stream = (streams + BigInt(sample)) & 0xffffffffffffffffn;
  const block = (index: number): Uint32Array => {
    const out = new Uint32Array(4);
    const low = Number(stream & 0xffffffffn);
    philox4x32(out, epoch * 16 + index, 0, low, Number(stream >> 32n), seed, 0);
    return out;
  };
  const uniform = (bits: number): number => (bits >>> 8) / 16777216;
  const below = (bits: number, count: number): number =>
    Number((BigInt(bits) * BigInt(count)) >> 32n);
  const f = Math.fround;
  const between = (bits: number, low: number, high: number): number =>
    low + (high - low) * uniform(bits);

  const first = block(0);
  const { crop, padding, flip, erase, area, aspect } = recipe;
  const offset = (bits: number): number => below(bits, 2 * padding + 1) - padding;
  const shift =
    uniform(first[0]!) < crop ? { y: offset(first[1]!), x: offset(first[2]!) } : undefined;
  let box: Box | undefined;
  for (let i = 0; i < 10 && !box && uniform(block(1)[0]!) < erase; i++) {
    const bits = block(2 + i);
    const erased = size * size * between(bits[0]!, f(area[0]!), f(area[1]!));
    const [low, high] = [Math.log(f(aspect[0]!)), Math.log(f(aspect[1]!))];
    const ratio = Math.exp(between(bits[1]!, low, high));
    const height = roundHalfEven(Math.sqrt(erased * ratio));
    const width = roundHalfEven(Math.sqrt(erased / ratio));
    if (height >= size || width >= size) continue;
    const top = below(bits[2]!, size - height + 1);
    box = { height, width, top, left: below(bits[3]!, size - width + 1) };
  }
  return { shift, flip: uniform(first[3]!) < flip, box };
}

/** Python's round. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

const mean = [0.485, 0.456, 0.406].map(Math.fround);
const std = [0.229, 0.224, 0.225].map(Math.fround);

/** Crops, flips, normalises and erases an image of bytes (S, S, 3), in float32 as torchvision does. */
export function augment(image: Uint8Array, size: number, drawn: Drawn): Float32Array {
  const { shift = { y: 0, x: 0 }, flip, box } = drawn;
  const out = new Float32Array(image.length);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const [fromY, fromX] = [y + shift.y, (flip ? size - 1 - x : x) + shift.x];
      const inside = fromY >= 0 && fromY < size && fromX >= 0 && fromX < size;
      const isErased =
        box &&
        y >= box.top &&
        y < box.top + box.height &&
        x >= box.left &&
        x < box.left + box.width;
      for (let c = 0; c < 3 && !isErased; c++) {
        const value = inside ? image[(fromY * size + fromX) * 3 + c]! : 0;
        const level = Math.fround(Math.fround(value / 255) - mean[c]!);
        out[(y * size + x) * 3 + c] = level / std[c]!;
      }
    }
  }
  return out;
}
