/** The seven classes of RAF-DB in the order of the paper. */
export const rafdbClasses = [
  'surprise',
  'fear',
  'disgust',
  'happiness',
  'sadness',
  'anger',
  'neutral',
] as const;

/** The eight classes of FER+ in the order of its vote columns. */
export const ferplusClasses = [
  'neutral',
  'happiness',
  'surprise',
  'sadness',
  'anger',
  'disgust',
  'fear',
  'contempt',
] as const;

/** The eight classes of AffectNet in the order of its codes; AffectNet-7 has no contempt. */
export const affectnetClasses = [
  'neutral',
  'happiness',
  'sadness',
  'surprise',
  'fear',
  'disgust',
  'anger',
  'contempt',
] as const;

/** The classes of CK+ in the order of its codes. */
export const ckplusClasses = [
  'neutral',
  'anger',
  'contempt',
  'disgust',
  'fear',
  'happiness',
  'sadness',
  'surprise',
] as const;

/** The seven classes of FER2013 in the order of its codes. */
export const fer2013Classes = [
  'anger',
  'disgust',
  'fear',
  'happiness',
  'sadness',
  'surprise',
  'neutral',
] as const;

/** Common spellings of each class, by the name used here. */
const spellings: Readonly<Record<string, readonly string[]>> = {
  surprise: ['surprised'],
  fear: ['fearful', 'afraid', 'scared'],
  disgust: ['disgusted'],
  happiness: ['happy', 'joy', 'smile'],
  sadness: ['sad'],
  anger: ['angry'],
  neutral: ['none', 'neutrality'],
  contempt: ['contemptuous'],
};

const bySpelling = new Map(
  Object.entries(spellings).flatMap(([name, others]) =>
    [name, ...others].map((other): [string, string] => [other, name]),
  ),
);

/**
 * The name by which classes are compared: `happy`, `Happy` and `happiness` are the same, and so are both ways to
 * write an accent in Unicode (macOS has the one, most programs the other).
 */
export function canonicalClass(name: string): string {
  const lower = name.trim().normalize('NFC').toLowerCase();
  return bySpelling.get(lower) ?? lower;
}

/** For each class of `from` the index of the same class, in any common spelling, in `classes`, or -1. */
export function matchClasses(from: readonly string[], classes: readonly string[]): number[] {
  const canonical = classes.map(canonicalClass);
  const composed = classes.map((name) => name.normalize('NFC'));
  return from.map((name) => {
    const exact = composed.indexOf(name.normalize('NFC'));
    return exact >= 0 ? exact : canonical.indexOf(canonicalClass(name));
  });
}
