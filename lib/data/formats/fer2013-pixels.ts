import { toRgb } from '../../images/pixels.js';
import type { RawImage } from '../../types.js';
import { fer2013Side, parseFer2013Pixels, readFer2013Rows } from './fer2013-file.js';
import { badFile } from './format.js';

const pixelCount = fer2013Side * fer2013Side;

/** Images of fer2013.csv, decoded from text and kept as gray bytes. */
export interface Fer2013Pixels {
  load(index: number): Promise<RawImage>;
}

/**
 * Reads selected images of FER2013's `fer2013.csv`.
 *
 * @param rows rows to keep (0 is the first line after the header), ascending
 * @param usage of these rows: a file with another order would give the images other labels
 * @throws CountenanceError ERR_DATASET_FORMAT naming file and line
 */
export async function readFer2013Pixels(
  file: string,
  rows: readonly number[],
  usage: string,
  signal?: AbortSignal,
): Promise<Fer2013Pixels> {
  const gray = new Uint8Array(rows.length * pixelCount);
  let kept = 0;
  for await (const part of readFer2013Rows(file, signal)) {
    for (const row of part) {
      if (row.row !== rows[kept]) continue;
      if (row.usage !== '' && row.usage !== usage) {
        const labels = `is ${usage} in fer2013new.csv: its images are in another order`;
        throw badFile(file, `line ${row.line} is ${row.usage} but ${labels}`);
      }
      parseFer2013Pixels(file, row, imageAt(gray, kept));
      kept += 1;
    }
  }
  if (kept < rows.length) {
    throw badFile(file, `it has no line for row ${rows[kept]!} of fer2013new.csv`);
  }
  return grayImages(gray);
}

/** Gray images that are stored one after another. */
export function grayImages(gray: Uint8Array): Fer2013Pixels {
  return { load: (index) => toRgb(imageAt(gray, index), fer2013Side, fer2013Side, 1) };
}

function imageAt(gray: Uint8Array, index: number): Uint8Array {
  return gray.subarray(index * pixelCount, (index + 1) * pixelCount);
}
