import sharp from 'sharp';
import { rafdbClasses } from '../classes.js';
import { Random, randomDomain } from '../../philox.js';
import { toRgb } from '../../images/pixels.js';
import type { RawImage } from '../../types.js';
import { sampleExpression, type ExpressionName } from './expression.js';
import { brows, cheeks, eyes, glasses, mouth, n, nose } from './features.js';
import { behindFace, face, hairFront } from './head.js';
import { css, samplePerson, mix, type Colour } from './person.js';

/** Smallest and largest side of the images, in pixels. */
const smallest = 72;
const largest = 120;

/** A face as SVG text, with the side of its image and the noise to add. */
export interface FaceSvg {
  readonly svg: string;
  readonly side: number;
  /** Standard deviation of the noise, 0..255 scale. */
  readonly noise: number;
  readonly gray: boolean;
}

/**
 * Draws face `index` of a split: always the same for the same arguments, and independent of every other
 * face. Only the muscles depend on the expression; person, pose, light and background do not.
 */
export function drawFace(
  expression: ExpressionName,
  seed: number,
  split: number,
  index: number,
): FaceSvg {
  const random = new Random(seed, randomDomain.syntheticFace, split, index);
  const person = samplePerson(random);
  const muscles = sampleExpression(expression, random);
  const side = smallest + random.below(largest - smallest + 1);

  // Pose: the image is 100 units wide; yaw and pitch move the features over the face.
  const scale = random.between(1.1, 1.36);
  const angle = random.between(-9, 9);
  const x = 50 + random.between(-4, 4);
  const y = 50 + random.between(-4, 4);
  const yaw = random.between(-3, 3);
  const pitch = random.between(-2, 2);
  const gazeX = random.between(-1.2, 1.2) + 0.2 * yaw;
  const features =
    brows(person, muscles) +
    eyes(person, muscles, gazeX) +
    nose(person, muscles) +
    cheeks(person, muscles) +
    mouth(person, muscles) +
    glasses(person);
  const narrowed = 1 - 0.012 * Math.abs(yaw);
  const head =
    `<g transform="translate(${n(x)} ${n(y)}) rotate(${n(angle)}) scale(${n(scale)})">` +
    behindFace(person) +
    face(person, muscles.mouthOpen, random) +
    `<g transform="translate(${n(yaw)} ${n(pitch)}) scale(${n(1.15 * narrowed)} 1.15)">${features}</g>` +
    `<g transform="translate(${n(-0.3 * yaw)} 0)">${hairFront(person)}</g></g>`;
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}" viewBox="0 0 100 100">` +
    background(random) +
    head +
    light(random) +
    '</svg>';
  return { svg, side, noise: random.between(0, 8), gray: random.chance(0.12) };
}

/** A colour of a wall or an object in front of it: any hue, muted. */
function randomColour(random: Random): Colour {
  const colour: Colour = [random.below(256), random.below(256), random.below(256)];
  return mix(colour, [150, 150, 150], 0.4);
}

/** A wall in two colours with a few soft shapes on it. */
function background(random: Random): string {
  const top = randomColour(random);
  const bottom = mix(top, randomColour(random), 0.5);
  const shapes = Array.from({ length: random.below(5) }, () => {
    const fill = css(mix(top, randomColour(random), 0.6));
    const x = random.between(-10, 100);
    const y = random.between(-10, 100);
    const w = random.between(8, 45);
    const h = random.between(8, 45);
    return random.chance(0.5)
      ? `<rect x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${n(h)}" fill="${fill}" opacity="0.7"/>`
      : `<ellipse cx="${n(x)}" cy="${n(y)}" rx="${n(w / 2)}" ry="${n(h / 2)}" fill="${fill}" opacity="0.7"/>`;
  }).join('');
  return (
    `<linearGradient id="wall" x1="0" y1="0" x2="0" y2="1"><stop offset="0" stop-color="${css(top)}"/>` +
    `<stop offset="1" stop-color="${css(bottom)}"/></linearGradient>` +
    `<rect width="100" height="100" fill="url(#wall)"/>${shapes}`
  );
}

/** Light from one side: a gradient from bright to dark over the whole image, in any direction. */
function light(random: Random): string {
  const direction = random.between(0, 2 * Math.PI);
  const dx = 0.5 * Math.cos(direction);
  const dy = 0.5 * Math.sin(direction);
  const bright = random.between(0, 0.25);
  const dark = random.between(0, 0.4);
  return (
    `<linearGradient id="light" x1="${n(0.5 - dx)}" y1="${n(0.5 - dy)}" x2="${n(0.5 + dx)}" y2="${n(0.5 + dy)}">` +
    `<stop offset="0" stop-color="#fff4e0" stop-opacity="${n(bright)}"/>` +
    `<stop offset="0.5" stop-color="#807870" stop-opacity="0"/>` +
    `<stop offset="1" stop-color="#05060c" stop-opacity="${n(dark)}"/></linearGradient>` +
    '<rect width="100" height="100" fill="url(#light)"/>'
  );
}

/** Renders face `index` of a split to pixels, off the main thread except for the noise. */
export async function renderFace(
  label: number,
  seed: number,
  split: number,
  index: number,
): Promise<RawImage> {
  const drawn = drawFace(rafdbClasses[label]!, seed, split, index);
  const pipeline = sharp(Buffer.from(drawn.svg));
  const { data, info } = await (drawn.gray ? pipeline.grayscale() : pipeline)
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  addNoise(data, drawn.noise, new Random(seed, randomDomain.syntheticNoise, split, index));
  return toRgb(data, info.width, info.height, info.channels);
}

/**
 * Adds noise of standard deviation `sigma` in place: the sum of two uniform bytes (a triangle), two
 * values from each 32 random bits.
 */
function addNoise(data: Uint8Array, sigma: number, random: Random): void {
  // Each byte has variance (256^2 - 1) / 12; the sum of two has a standard deviation of 104.5.
  const factor = sigma / 104.5;
  const clamped = new Uint8ClampedArray(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < clamped.length; i += 2) {
    const bits = random.uint32();
    clamped[i]! += factor * ((bits & 255) + ((bits >>> 8) & 255) - 255);
    if (i + 1 < clamped.length) {
      clamped[i + 1]! += factor * (((bits >>> 16) & 255) + (bits >>> 24) - 255);
    }
  }
}
