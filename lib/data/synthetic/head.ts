import { n } from './features.js';
import { css, shade, type Person } from './person.js';
import type { Random } from '../../philox.js';

/** Everything behind the face: hair that falls behind it, neck, shoulders, ears. */
export function behindFace(person: Person): string {
  const { faceWidth: w, faceHeight: h } = person;
  const skin = css(shade(person.skin, 0.12));
  const hair = css(shade(person.hair, 0.15));
  const back: Record<Person['hairStyle'], string> = {
    bald: '',
    short: '',
    parted: '',
    long: `<path d="M${n(-w - 6)} 46Q${n(-w - 9)} ${n(-h - 10)} 0 ${n(-h - 8)}Q${n(w + 9)} ${n(-h - 10)} ${n(w + 6)} 46Z" fill="${hair}"/>`,
    bun: `<circle cx="0" cy="${n(-h - 8)}" r="11" fill="${hair}"/>`,
    curly: `<g fill="${hair}">${curls(w + 3, h + 4)}</g>`,
  };
  return (
    back[person.hairStyle] +
    `<path d="M-60 90Q-52 ${n(h + 14)} -14 ${n(h + 10)}L14 ${n(h + 10)}Q52 ${n(h + 14)} 60 90Z" fill="${css(person.clothes)}"/>` +
    `<path d="M-11 ${n(h - 12)}L-12 ${n(h + 13)}Q0 ${n(h + 19)} 12 ${n(h + 13)}L11 ${n(h - 12)}Z" fill="${skin}"/>` +
    [-1, 1]
      .map((side) => `<ellipse cx="${n(side * w)}" cy="-2" rx="4" ry="7" fill="${skin}"/>`)
      .join('')
  );
}

function curls(w: number, h: number): string {
  const circles: string[] = [];
  for (let step = 0; step <= 12; step++) {
    const angle = Math.PI * (1 + step / 12);
    circles.push(
      `<circle cx="${n(w * Math.cos(angle))}" cy="${n(h * Math.sin(angle) + 4)}" r="8.5"/>`,
    );
  }
  return circles.join('');
}

/** The face itself with its beard and freckles. The jaw drops when the mouth opens. */
export function face(person: Person, mouthOpen: number, random: Random): string {
  const { faceWidth: w, faceHeight: h, jaw } = person;
  const chin = h + 0.3 * Math.max(0, mouthOpen);
  const jawX = w * (0.55 + 0.3 * jaw);
  const jawY = chin * (0.92 + 0.06 * jaw);
  const outline =
    `M0 ${n(-h)}C${n(w * 0.8)} ${n(-h)} ${n(w)} ${n(-h * 0.5)} ${n(w)} 0` +
    `C${n(w)} ${n(h * 0.5)} ${n(jawX)} ${n(jawY)} 0 ${n(chin)}` +
    `C${n(-jawX)} ${n(jawY)} ${n(-w)} ${n(h * 0.5)} ${n(-w)} 0` +
    `C${n(-w)} ${n(-h * 0.5)} ${n(-w * 0.8)} ${n(-h)} 0 ${n(-h)}Z`;
  const edge = css(shade(person.skin, 0.28));
  return (
    `<path d="${outline}" fill="${css(person.skin)}" stroke="${edge}" stroke-width="0.8"/>` +
    beard(person, chin) +
    (person.freckles ? freckles(person, random) : '')
  );
}

function beard(person: Person, chin: number): string {
  const { faceWidth: w, mouthHeight: m } = person;
  const colour = css(person.hair);
  const moustache = `<path d="M-11 ${n(m - 2.6)}Q-5 ${n(m - 7)} 0 ${n(m - 5)}Q5 ${n(m - 7)} 11 ${n(m - 2.6)}Q5 ${n(m - 4)} 0 ${n(m - 3.6)}Q-5 ${n(m - 4)} -11 ${n(m - 2.6)}Z" fill="${colour}"/>`;
  const whole = `<path d="M${n(-w + 1)} 4Q${n(-w + 5)} 14 -13 ${n(m - 5)}Q0 ${n(m - 9)} 13 ${n(m - 5)}Q${n(w - 5)} 14 ${n(w - 1)} 4Q${n(w - 3)} ${n(chin * 0.8)} 0 ${n(chin + 1.5)}Q${n(-w + 3)} ${n(chin * 0.8)} ${n(-w + 1)} 4Z" fill="${colour}"`;
  switch (person.beard) {
    case 'none':
      return '';
    case 'moustache':
      return moustache;
    case 'stubble':
      return `${whole} opacity="0.22"/>`;
    case 'full':
      return `${whole} opacity="0.9"/>`;
  }
}

function freckles(person: Person, random: Random): string {
  const colour = css(shade(person.skin, 0.3));
  return Array.from({ length: 14 }, () => {
    const x = random.between(-17, 17);
    const y = random.between(1, 9);
    return `<circle cx="${n(x)}" cy="${n(y)}" r="0.6" fill="${colour}"/>`;
  }).join('');
}

/** Hair in front of the forehead. */
export function hairFront(person: Person): string {
  const { faceWidth: w, faceHeight: h } = person;
  const fill = `fill="${css(person.hair)}"`;
  const cap = (hairline: number): string =>
    `<path d="M${n(-w - 1.5)} -4Q${n(-w - 4)} ${n(-h - 8)} 0 ${n(-h - 7)}Q${n(w + 4)} ${n(-h - 8)} ${n(w + 1.5)} -4` +
    `Q${n(w - 2)} ${n(hairline + 2)} ${n(w * 0.55)} ${n(hairline)}Q0 ${n(hairline - 5)} ${n(-w * 0.55)} ${n(hairline)}` +
    `Q${n(-w + 2)} ${n(hairline + 2)} ${n(-w - 1.5)} -4Z" ${fill}/>`;
  switch (person.hairStyle) {
    case 'bald':
      return '';
    case 'short':
      return cap(-h + 9);
    case 'curly':
      return cap(-h + 8);
    case 'bun':
      return cap(-h + 6);
    case 'long':
      return cap(-h + 9);
    case 'parted':
      return (
        `<path d="M${n(-w - 1.5)} 0Q${n(-w - 5)} ${n(-h - 8)} 0 ${n(-h - 7)}Q${n(w + 5)} ${n(-h - 8)} ${n(w + 1.5)} 0` +
        `Q${n(w - 1)} ${n(-h * 0.5)} ${n(-w * 0.35)} ${n(-h + 4)}Q${n(-w * 0.8)} ${n(-h * 0.62)} ${n(-w - 1.5)} 0Z" ${fill}/>`
      );
  }
}
