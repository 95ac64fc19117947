import type { Expression } from './expression.js';
import { css, shade, type Person } from './person.js';

/** A number in SVG syntax, with two decimals. */
export function n(value: number): string {
  return value.toFixed(2);
}

/** Both eyes with lids and gaze; `gazeX` moves the gaze sideways. */
export function eyes(person: Person, expression: Expression, gazeX: number): string {
  return [-1, 1].map((side) => eye(person, expression, side, gazeX)).join('');
}

function eye(person: Person, e: Expression, side: number, gazeX: number): string {
  const { eyeWidth: w } = person;
  const upper = 3.9 * Math.max(e.lidOpen, 0.12);
  const lower = 3 * Math.max(1 - e.lidLower, 0.15) * Math.min(1.25, 0.4 + 0.6 * e.lidOpen);
  // A quadratic curve reaches half of its control point's height.
  const outline = `M${n(-w)} 0Q0 ${n(-2 * upper)} ${n(w)} 0Q0 ${n(2 * lower)} ${n(-w)} 0Z`;
  const lid = `M${n(-w)} 0Q0 ${n(-2 * upper)} ${n(w)} 0`;
  const under = `M${n(-w * 0.8)} ${n(lower * 0.7)}Q0 ${n(2 * lower)} ${n(w * 0.8)} ${n(lower * 0.7)}`;
  const id = side < 0 ? 'left' : 'right';
  return (
    `<g transform="translate(${n(side * person.eyeDistance)} -6) rotate(${n(side * e.eyeSlant)})">` +
    `<clipPath id="${id}"><path d="${outline}"/></clipPath>` +
    `<path d="${outline}" fill="#f7f5f0"/>` +
    `<g clip-path="url(#${id})">` +
    `<circle cx="${n(gazeX)}" cy="${n(e.gaze)}" r="3.4" fill="${css(person.iris)}"/>` +
    `<circle cx="${n(gazeX)}" cy="${n(e.gaze)}" r="1.6" fill="#100c0a"/>` +
    `<circle cx="${n(gazeX + 0.9)}" cy="${n(e.gaze - 0.9)}" r="0.6" fill="#fff"/></g>` +
    `<path d="${lid}" fill="none" stroke="#1e1614" stroke-width="1.4" stroke-linecap="round"/>` +
    `<path d="${under}" fill="none" stroke="${css(shade(person.skin, 0.35))}" stroke-width="0.7"/></g>`
  );
}

/** Both brows. */
export function brows(person: Person, e: Expression): string {
  const colour = css(shade(person.hair, 0.5));
  return [-1, 1]
    .map((side) => {
      const inner = side * (person.eyeDistance - 6 - e.browTogether);
      const outer = side * (person.eyeDistance + 7);
      const innerY = -14 + e.browInner;
      const outerY = -13.4 + e.browOuter;
      const bendX = (inner + 2 * outer) / 3;
      const bendY = (innerY + 2 * outerY) / 3 - 2 * e.browArch;
      return (
        `<path d="M${n(inner)} ${n(innerY)}Q${n(bendX)} ${n(bendY)} ${n(outer)} ${n(outerY)}" ` +
        `fill="none" stroke="${colour}" stroke-width="${n(person.browThickness)}" stroke-linecap="round"/>`
      );
    })
    .join('');
}

/** Nose, with the lines of disgust, the furrow between the brows and the folds next to the mouth. */
export function nose(person: Person, e: Expression): string {
  const { noseLength: length, noseWidth: width } = person;
  const top = -4;
  const tip = top + length - 1.2 * e.noseWrinkle;
  const line = css(shade(person.skin, 0.38));
  const stroke = (d: string, thickness: number, strength = 1): string =>
    strength < 0.05
      ? ''
      : `<path d="${d}" fill="none" stroke="${line}" stroke-width="${n(thickness)}" ` +
        `stroke-linecap="round" opacity="${n(Math.min(strength, 1))}"/>`;
  const wings = `M${n(-width)} ${n(tip - 0.6)}Q${n(-width)} ${n(tip + 1.8)} 0 ${n(tip + 1.2)}Q${n(width)} ${n(tip + 1.8)} ${n(width)} ${n(tip - 0.6)}`;
  const mouthY = person.mouthHeight;
  const fold = [-1, 1]
    .map((side) => {
      const from = `${n(side * (width + 1.2))} ${n(tip - 0.5)}`;
      const bend = `${n(side * (width + 6))} ${n(tip + 2)}`;
      const to = `${n(side * (e.mouthWidth + 2.4))} ${n(mouthY - e.mouthCurve - 1)}`;
      return stroke(`M${from}Q${bend} ${to}`, 1.2, e.folds);
    })
    .join('');
  const wrinkles = [0, 2.2, 4.4]
    .map((dy) =>
      stroke(
        `M-3.4 ${n(top - 2 + dy)}Q0 ${n(top - 3.6 + dy)} 3.4 ${n(top - 2 + dy)}`,
        0.9,
        e.noseWrinkle,
      ),
    )
    .join('');
  const furrow = [-1.6, 1.6]
    .map((x) => stroke(`M${n(x)} -16L${n(x * 0.8)} -10`, 1.3, e.furrow))
    .join('');
  return (
    stroke(wings, 1.1) +
    stroke(`M${n(width * 0.4)} ${n(top + 2)}L${n(width * 0.55)} ${n(tip - 2)}`, 0.7, 0.5) +
    fold +
    wrinkles +
    furrow
  );
}

/** Mouth: a line of lips when closed, a filled shape with teeth and tongue when open. */
export function mouth(person: Person, e: Expression): string {
  const w = e.mouthWidth;
  const cornerY = person.mouthHeight - 0.75 * e.mouthCurve;
  const centreY = person.mouthHeight + 0.35 * e.mouthCurve;
  const open = Math.max(0, e.mouthOpen);
  const upperY = centreY - 0.3 * open - e.lipRaise;
  const lowerY = centreY + 0.7 * open - 0.45 * e.lipRaise;
  const lips = css(person.lips);
  const width = n(person.lipThickness);
  const upper = curve(w, cornerY, upperY, e.mouthSquare);
  if (open < 1) {
    const lower = curve(w * 0.8, cornerY + 0.5, lowerY + person.lipThickness, 0.3);
    const crease = `M${n(-w)} ${n(cornerY)}C${upper} ${n(w)} ${n(cornerY)}`;
    return (
      `<path d="M${n(-w * 0.8)} ${n(cornerY + 0.5)}C${lower} ${n(w * 0.8)} ${n(cornerY + 0.5)}" ` +
      `fill="none" stroke="${lips}" stroke-width="${width}" stroke-linecap="round"/>` +
      `<path d="${crease}" fill="none" stroke="${css(shade(person.lips, 0.45))}" stroke-width="1.8" stroke-linecap="round"/>`
    );
  }
  const back = reversed(w, cornerY, lowerY, e.mouthSquare);
  const outline = `M${n(-w)} ${n(cornerY)}C${upper} ${n(w)} ${n(cornerY)}C${back} ${n(-w)} ${n(cornerY)}Z`;
  const height = lowerY - upperY;
  const band = (y: number, share: number): string =>
    share < 0.05
      ? ''
      : `<rect x="${n(-w)}" y="${n(y)}" width="${n(2 * w)}" height="${n(share * height)}" fill="#f4f0e6"/>`;
  // Upper teeth hang from the higher of lip and corners, so that a smile shows them from side to side.
  const teethTop = Math.min(upperY, cornerY);
  return (
    `<clipPath id="mouth"><path d="${outline}"/></clipPath>` +
    `<path d="${outline}" fill="#4a1518"/>` +
    `<g clip-path="url(#mouth)">` +
    `<ellipse cx="0" cy="${n(lowerY)}" rx="${n(w * 0.55)}" ry="${n(height * 0.3)}" fill="#b4545a"/>` +
    band(teethTop, e.teethUpper + (e.teethUpper > 0.05 ? (upperY - teethTop) / height : 0)) +
    band(lowerY - e.teethLower * height, e.teethLower) +
    `</g><path d="${outline}" fill="none" stroke="${lips}" stroke-width="${width}" stroke-linejoin="round"/>`
  );
}

/** Control points of a cubic from (-w, cornerY) to (w, cornerY) that passes through (0, middleY). */
function curve(w: number, cornerY: number, middleY: number, square: number): string {
  const [x, y] = control(w, cornerY, middleY, square);
  return `${n(-x)} ${n(y)} ${n(x)} ${n(y)}`;
}

function reversed(w: number, cornerY: number, middleY: number, square: number): string {
  const [x, y] = control(w, cornerY, middleY, square);
  return `${n(x)} ${n(y)} ${n(-x)} ${n(y)}`;
}

function control(w: number, cornerY: number, middleY: number, square: number): [number, number] {
  // At t = 1/2 a symmetric cubic reaches 3/4 of its control points' height.
  return [w * (0.35 + 0.75 * square), cornerY + ((middleY - cornerY) * 4) / 3];
}

/** Raised cheeks: a soft blush and a line under each eye. */
export function cheeks(person: Person, e: Expression): string {
  if (e.cheeks < 0.05) return '';
  const blush = css(shade([214, 96, 84], 0.1));
  return [-1, 1]
    .map(
      (side) =>
        `<ellipse cx="${n(side * (person.eyeDistance + 3))}" cy="6" rx="6" ry="4" fill="${blush}" ` +
        `opacity="${n(0.22 * Math.min(1, e.cheeks))}"/>`,
    )
    .join('');
}

/** Spectacles; they hide part of the brows and eyes whatever the expression. */
export function glasses(person: Person): string {
  if (person.glasses === 'none') return '';
  const d = person.eyeDistance;
  const frame = 'fill="#dfe9f0" fill-opacity="0.14" stroke="#26221f" stroke-width="1.2"';
  const lens = (side: number): string =>
    person.glasses === 'round'
      ? `<circle cx="${n(side * d)}" cy="-5" r="8" ${frame}/>`
      : `<rect x="${n(side * d - 8.4)}" y="-11" width="16.8" height="11.6" rx="2" ${frame}/>`;
  return (
    lens(-1) +
    lens(1) +
    `<path d="M${n(8 - d)} -6Q0 -8 ${n(d - 8)} -6" fill="none" stroke="#26221f" stroke-width="1.2"/>`
  );
}
