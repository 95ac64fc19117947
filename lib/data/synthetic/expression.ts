import type { Random } from '../../philox.js';
import type { rafdbClasses } from '../classes.js';

export type ExpressionName = (typeof rafdbClasses)[number];

/**
 * What the muscles of a synthetic face do. Lengths are in face units (the face is about 60 wide, 76 high),
 * y grows downwards; 0 is the face at rest unless said otherwise.
 */
export interface Expression {
  /** Height of the inner and outer ends of the brows; negative is raised. */
  readonly browInner: number;
  readonly browOuter: number;
  /** How far the brows bend upwards between their ends. */
  readonly browArch: number;
  /** How far the brows move towards each other. */
  readonly browTogether: number;
  /** Height of the opening of the upper lids; 1 at rest. */
  readonly lidOpen: number;
  /** How far the lower lids cover the eyes, 0..1. */
  readonly lidLower: number;
  /** Outer corners of the eyes drop (positive) or rise, in degrees. */
  readonly eyeSlant: number;
  /** Gaze: positive looks down. */
  readonly gaze: number;
  /** Half the width of the mouth; 10 at rest. */
  readonly mouthWidth: number;
  /** Corners of the mouth up (positive) or down. */
  readonly mouthCurve: number;
  /** Height of the open mouth. */
  readonly mouthOpen: number;
  /** Shape of an open mouth: 0 a lens, 1 a box. */
  readonly mouthSquare: number;
  /** How far the middle of the upper lip is pulled up. */
  readonly lipRaise: number;
  /** Share of the open mouth that shows teeth, from above and from below. */
  readonly teethUpper: number;
  readonly teethLower: number;
  /** Strengths 0..1 of the lines on the nose, between the brows, and from nose to mouth. */
  readonly noseWrinkle: number;
  readonly furrow: number;
  readonly folds: number;
  /** Strength 0..1 of raised cheeks. */
  readonly cheeks: number;
}

const rest: Expression = {
  browInner: 0,
  browOuter: 0,
  browArch: 1.6,
  browTogether: 0,
  lidOpen: 1,
  lidLower: 0,
  eyeSlant: 0,
  gaze: 0,
  mouthWidth: 10,
  mouthCurve: 0,
  mouthOpen: 0,
  mouthSquare: 0.3,
  lipRaise: 0,
  teethUpper: 0,
  teethLower: 0,
  noseWrinkle: 0,
  furrow: 0,
  folds: 0,
  cheeks: 0,
};

/** Variants of each expression after the action units of Ekman and Friesen's coding system. */
const variants: Readonly<Record<ExpressionName, readonly Partial<Expression>[]>> = {
  // AU 1 + 2 + 5 + 26
  surprise: [
    {
      browInner: -5.5,
      browOuter: -5,
      browArch: 4,
      lidOpen: 1.6,
      mouthWidth: 6.5,
      mouthOpen: 14,
      mouthSquare: 0.8,
    },
    {
      browInner: -6.5,
      browOuter: -5.5,
      browArch: 4.6,
      lidOpen: 1.7,
      mouthWidth: 5,
      mouthOpen: 9,
      mouthSquare: 0.85,
    },
  ],
  // AU 1 + 2 + 4 + 5 + 20 + 25
  fear: [
    {
      browInner: -6,
      browOuter: -1,
      browArch: 0.2,
      browTogether: 1.8,
      lidOpen: 1.6,
      mouthWidth: 13,
      mouthCurve: -1,
      mouthOpen: 7,
      mouthSquare: 0.95,
      teethUpper: 0.35,
      teethLower: 0.35,
      furrow: 0.4,
    },
    {
      browInner: -6.5,
      browOuter: -1.5,
      browArch: -0.2,
      browTogether: 2,
      lidOpen: 1.65,
      mouthWidth: 12.5,
      mouthCurve: -2,
      mouthOpen: 4.5,
      mouthSquare: 0.95,
      teethUpper: 0.5,
      teethLower: 0.4,
      furrow: 0.5,
    },
  ],
  // AU 9 + 10 + 17 (+ 4)
  disgust: [
    {
      browInner: 2.6,
      browOuter: 0.8,
      browArch: 0.8,
      browTogether: 1.2,
      lidOpen: 0.62,
      lidLower: 0.45,
      mouthWidth: 9.5,
      mouthCurve: -3.2,
      lipRaise: 4,
      noseWrinkle: 1,
      folds: 1,
      cheeks: 0.3,
    },
    {
      browInner: 2.4,
      browOuter: 0.6,
      browArch: 0.8,
      browTogether: 1,
      lidOpen: 0.6,
      lidLower: 0.5,
      mouthWidth: 9,
      mouthCurve: -2.6,
      lipRaise: 3.6,
      mouthOpen: 4,
      mouthSquare: 0.4,
      teethUpper: 0.6,
      noseWrinkle: 1,
      folds: 1,
    },
  ],
  // AU 6 + 12 (+ 25)
  happiness: [
    {
      browOuter: -0.6,
      lidOpen: 0.85,
      lidLower: 0.35,
      mouthWidth: 12.5,
      mouthCurve: 8,
      folds: 0.5,
      cheeks: 0.8,
    },
    {
      browOuter: -0.8,
      lidOpen: 0.75,
      lidLower: 0.5,
      mouthWidth: 13.5,
      mouthCurve: 7.5,
      mouthOpen: 8,
      mouthSquare: 0.2,
      teethUpper: 0.6,
      folds: 0.7,
      cheeks: 1,
    },
  ],
  // AU 1 + 4 + 15 (+ 17)
  sadness: [
    {
      browInner: -4,
      browOuter: 2.2,
      browArch: 0,
      browTogether: 0.8,
      lidOpen: 0.72,
      eyeSlant: 9,
      gaze: 0.6,
      mouthWidth: 8.5,
      mouthCurve: -6,
    },
    {
      browInner: -4.4,
      browOuter: 2.4,
      browArch: -0.3,
      browTogether: 1,
      lidOpen: 0.62,
      eyeSlant: 10,
      gaze: 1,
      mouthWidth: 8,
      mouthCurve: -6.5,
      furrow: 0.3,
    },
  ],
  // AU 4 + 5 + 7 + 23, or with bared teeth 25
  anger: [
    {
      browInner: 5.6,
      browOuter: -4.6,
      browArch: 0,
      browTogether: 2,
      lidOpen: 0.85,
      lidLower: 0.3,
      eyeSlant: -10,
      mouthWidth: 7.5,
      mouthCurve: -2,
      furrow: 1,
    },
    {
      browInner: 5.8,
      browOuter: -4.8,
      browArch: -0.2,
      browTogether: 2,
      lidOpen: 0.95,
      lidLower: 0.3,
      eyeSlant: -9,
      mouthWidth: 10.5,
      mouthCurve: -1.6,
      mouthOpen: 6.5,
      mouthSquare: 0.9,
      teethUpper: 0.45,
      teethLower: 0.45,
      furrow: 1,
      folds: 0.4,
    },
  ],
  neutral: [{}, { mouthCurve: 0.5, lidOpen: 0.95 }],
};

/** How much each value differs between people at rest: the scatter an expression must stand out from. */
const scatter: Partial<Record<keyof Expression, number>> = {
  browInner: 0.6,
  browOuter: 0.6,
  browArch: 0.5,
  lidOpen: 0.07,
  lidLower: 0.05,
  eyeSlant: 2,
  gaze: 0.4,
  mouthWidth: 1,
  mouthCurve: 0.5,
};

/**
 * Samples an expression: one of its variants at an intensity of 0.85 to 1.2 between rest and the full
 * expression, plus the scatter between people.
 */
export function sampleExpression(name: ExpressionName, random: Random): Expression {
  const full = { ...rest, ...random.pick(variants[name]) };
  const intensity = random.between(0.85, 1.2);
  const mixed = { ...rest };
  for (const key of Object.keys(rest) as (keyof Expression)[]) {
    const value = rest[key] + intensity * (full[key] - rest[key]);
    Object.assign(mixed, { [key]: value + (scatter[key] ?? 0) * clippedNormal(random) });
  }
  return mixed;
}

/** Standard normal, clipped at two standard deviations. */
function clippedNormal(random: Random): number {
  return Math.max(-2, Math.min(2, random.normal()));
}
