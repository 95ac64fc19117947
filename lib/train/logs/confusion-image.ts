import sharp from 'sharp';
import type { Metrics } from '../../metrics.js';
import { escapeHtml } from './escape.js';
import type { EventImage } from './event-file.js';

/** Size of a cell, and of the space for the names beside and above the cells, in pixels. */
const cell = 48;
const margin = 110;

/** Colours of a cell with none and with all of the images of its row. */
const pale = [247, 249, 252] as const;
const full = [23, 78, 140] as const;

/**
 * Draws a confusion matrix: a row per true class, a column per prediction; colour is the fraction of the row.
 * Names and counts need a font on the machine; without one only the cells are drawn.
 */
export async function drawConfusion({
  classes,
  confusion,
}: Pick<Metrics, 'classes' | 'confusion'>): Promise<EventImage> {
  const side = margin + cell * classes.length;
  const centre = (i: number): number => margin + cell * (i + 0.5);
  const names = classes.map((name, i) => {
    const text = escapeHtml(name.length > 14 ? `${name.slice(0, 13)}…` : name);
    const above = `translate(${centre(i) + 4} ${margin - 8}) rotate(-60)`;
    return (
      `<text x="${margin - 8}" y="${centre(i) + 4}" text-anchor="end">${text}</text>` +
      `<text transform="${above}">${text}</text>`
    );
  });
  const cells = confusion.flatMap((counts, row) => {
    const total = Math.max(
      counts.reduce((sum, count) => sum + count, 0),
      1,
    );
    return counts.map((count, column) => {
      const share = count / total;
      const [x, y] = [margin + cell * column, margin + cell * row];
      const ink = share > 0.5 ? '#fff' : '#1c2430';
      return (
        `<rect x="${x}" y="${y}" width="${cell - 1}" height="${cell - 1}" fill="${colour(share)}"/>` +
        `<text x="${centre(column)}" y="${centre(row) + 4}" text-anchor="middle" fill="${ink}">` +
        `${count}</text>`
      );
    });
  });
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}" ` +
    'font-family="sans-serif" font-size="12" fill="#1c2430">' +
    `<rect width="${side}" height="${side}" fill="#fff"/>${names.join('')}${cells.join('')}</svg>`;
  const png = await sharp(Buffer.from(svg)).removeAlpha().png().toBuffer();
  return { png, width: side, height: side };
}

function colour(share: number): string {
  const channels = pale.map((low, i) => Math.round(low + (full[i]! - low) * share));
  return `rgb(${channels.join()})`;
}
