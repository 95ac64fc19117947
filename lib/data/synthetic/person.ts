import type { Random } from '../../philox.js';

/** An RGB colour, 0..255. */
export type Colour = readonly [number, number, number];

/** What a synthetic person looks like, apart from the expression. */
export interface Person {
  readonly skin: Colour;
  readonly hair: Colour;
  readonly iris: Colour;
  readonly lips: Colour;
  readonly clothes: Colour;
  /** Half width and half height of the face. */
  readonly faceWidth: number;
  readonly faceHeight: number;
  /** 0 a pointed chin, 1 a square jaw. */
  readonly jaw: number;
  /** Distance of each eye from the middle, half width of an eye. */
  readonly eyeDistance: number;
  readonly eyeWidth: number;
  readonly browThickness: number;
  readonly noseLength: number;
  readonly noseWidth: number;
  /** Height of the mouth below the middle of the face. */
  readonly mouthHeight: number;
  readonly lipThickness: number;
  readonly hairStyle: 'bald' | 'short' | 'parted' | 'long' | 'bun' | 'curly';
  readonly beard: 'none' | 'stubble' | 'moustache' | 'full';
  readonly glasses: 'none' | 'round' | 'square';
  readonly freckles: boolean;
}

const skins: readonly Colour[] = [
  [255, 224, 196],
  [244, 205, 170],
  [232, 184, 142],
  [214, 160, 116],
  [190, 132, 90],
  [158, 104, 68],
  [140, 92, 62],
  [116, 74, 50],
];

const hairs: readonly Colour[] = [
  [28, 22, 20],
  [54, 36, 26],
  [92, 58, 34],
  [140, 92, 48],
  [196, 150, 84],
  [226, 198, 140],
  [150, 62, 32],
  [150, 150, 152],
  [212, 210, 206],
  [70, 40, 90],
];

const irises: readonly Colour[] = [
  [58, 36, 22],
  [92, 60, 32],
  [64, 96, 70],
  [70, 110, 150],
  [104, 120, 128],
];

/** Samples a person; nothing here depends on the expression. */
export function samplePerson(random: Random): Person {
  const skin = jitter(random.pick(skins), 8, random);
  const beard = random.chance(0.25)
    ? random.pick(['stubble', 'moustache', 'full'] as const)
    : 'none';
  return {
    skin,
    hair: jitter(random.pick(hairs), 12, random),
    iris: jitter(random.pick(irises), 10, random),
    lips: mix(
      skin,
      random.pick([
        [168, 60, 64],
        [190, 84, 84],
        [150, 70, 66],
      ] as Colour[]),
      random.between(0.45, 0.85),
    ),
    clothes: [random.below(256), random.below(256), random.below(256)],
    faceWidth: random.between(26, 31.5),
    faceHeight: random.between(34, 39.5),
    jaw: random.uniform(),
    eyeDistance: random.between(11.2, 13.6),
    eyeWidth: random.between(5.6, 7),
    browThickness: random.between(2.1, 3.3),
    noseLength: random.between(9, 13),
    noseWidth: random.between(3, 5.2),
    mouthHeight: random.between(18, 21),
    lipThickness: random.between(1.8, 2.8),
    hairStyle: random.pick(['bald', 'short', 'short', 'parted', 'long', 'bun', 'curly'] as const),
    beard,
    glasses: random.chance(0.22) ? random.pick(['round', 'square'] as const) : 'none',
    freckles: random.chance(0.12),
  };
}

function jitter(colour: Colour, amount: number, random: Random): Colour {
  return [
    clampByte(colour[0] + random.between(-amount, amount)),
    clampByte(colour[1] + random.between(-amount, amount)),
    clampByte(colour[2] + random.between(-amount, amount)),
  ];
}

/** A blend of two colours: (1 - share) a + share b. */
export function mix(a: Colour, b: Colour, share: number): Colour {
  return [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])];
}

/** A colour darkened (share above 0) or lightened (below 0). */
export function shade(colour: Colour, share: number): Colour {
  return share >= 0 ? mix(colour, [0, 0, 0], share) : mix(colour, [255, 255, 255], -share);
}

/** The colour in SVG syntax. */
export function css(colour: Colour): string {
  return `rgb(${colour.map((value) => Math.round(value)).join(',')})`;
}

function clampByte(value: number): number {
  return Math.max(0, Math.min(255, value));
}
