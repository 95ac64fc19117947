import { readdir } from 'node:fs/promises';
import { posix, sep } from 'node:path';
import { CountenanceError, throwIfAborted } from '../../errors.js';
import { cropImage, type Box } from '../../images/crop.js';
import { readCsv, type CsvRow } from '../csv-reader.js';
import { fileDataset, type Dataset } from '../dataset.js';
import type { DataSpec } from '../spec.js';
import type { AffectnetCodes } from './affectnet-codes.js';
import { badFile, rejectImage, type OpenOptions } from './format.js';

/** Columns of AffectNet's lists; validation.csv comes without the header line. */
const columnNames = [
  'subDirectory_filePath',
  'face_x',
  'face_y',
  'face_width',
  'face_height',
  'facial_landmarks',
  'expression',
  'valence',
  'arousal',
] as const;

/** Where a list and its images are. */
export interface ListedFiles {
  readonly list: string;
  /** Folder that the list's paths are relative to. */
  readonly images: string;
  /** Crop images to their face boxes. */
  readonly crop: boolean;
}

/** AffectNet with its lists `training.csv` and `validation.csv`. */
export async function openListed(
  spec: DataSpec,
  files: ListedFiles,
  codes: AffectnetCodes,
  options: OpenOptions,
): Promise<Dataset> {
  const reader = new ListReader(files, codes, options);
  for await (const rows of readCsv(files.list, 'Label file')) {
    throwIfAborted(options.signal, `Reading '${files.list}'`);
    for (const row of rows) await reader.add(row);
  }
  return reader.dataset(spec);
}

class ListReader {
  private columns: Readonly<Record<string, number>> | undefined;
  private width = 0;
  private readonly names: string[] = [];
  private readonly labels: number[] = [];
  private readonly boxes: (Box | undefined)[] = [];
  /**
   * File names of each image folder seen so far: each folder is listed once instead of checking every
   * image.
   */
  private readonly folders = new Map<string, ReadonlySet<string>>();

  constructor(
    private readonly files: ListedFiles,
    private readonly codes: AffectnetCodes,
    private readonly options: OpenOptions,
  ) {}

  async add(row: CsvRow): Promise<void> {
    if (!this.columns) {
      this.columns = this.readHeader(row);
      this.width = row.fields.length;
      if (row.fields[0]?.trim() === columnNames[0]) return;
    }
    const { list, images } = this.files;
    const { line, fields } = row;
    if (fields.length !== this.width) {
      throw badFile(list, `line ${line} has ${fields.length} fields; expected ${this.width}`);
    }
    const path = this.field(fields, 'subDirectory_filePath');
    const code = this.field(fields, 'expression');
    try {
      const where = `'${list}', line ${line}`;
      const label = this.codes.label(code === '' ? NaN : Number(code), where);
      if (label === undefined) return;
      if (path === '' || path.startsWith('/') || path.split('/').includes('..')) {
        throw badFile(list, `line ${line}: '${path}' is not a path below '${images}'`);
      }
      if (!(await this.exists(path))) {
        const missing = `Image '${images}${sep}${path}' of '${list}', line ${line}, does not exist`;
        throw new CountenanceError('ERR_FILE_NOT_FOUND', missing);
      }
      this.names.push(path);
      this.labels.push(label);
      this.boxes.push(this.files.crop ? this.box(fields) : undefined);
    } catch (error) {
      if (!(error instanceof CountenanceError)) throw error;
      rejectImage(this.options, error);
    }
  }

  dataset(spec: DataSpec): Dataset {
    const { names, labels, boxes, codes } = this;
    const { list, images, crop } = this.files;
    if (!this.columns) throw badFile(list, 'it is empty');
    const files = names.map((name) => `${images}${sep}${name}`);
    const whole = boxes.filter((box) => !box).length;
    const notes = [...codes.notes];
    if (crop && whole > 0) notes.push(`${whole} images have no face box and are not cropped`);
    const dataset = fileDataset({ name: spec.text, classes: codes.classes, files, labels, notes });
    if (!crop) return dataset;
    return {
      ...dataset,
      load: async (index, signal) => {
        const image = await dataset.load(index, signal);
        const box = boxes[index];
        return box ? cropImage(image, box) : image;
      },
    };
  }

  private readHeader({ fields }: CsvRow): Readonly<Record<string, number>> {
    const names = fields.map((name) => name.trim());
    const hasHeader = names[0] === columnNames[0];
    if (!hasHeader && names.length !== columnNames.length) {
      throw badFile(
        this.files.list,
        `its first line has ${names.length} fields; expected ${columnNames.join(', ')}`,
      );
    }
    const found = Object.fromEntries(
      columnNames.map((name, i) => [name, hasHeader ? names.indexOf(name) : i]),
    );
    if (found['expression']! < 0) throw badFile(this.files.list, "it has no column 'expression'");
    return found;
  }

  private field(fields: readonly string[], name: (typeof columnNames)[number]): string {
    return fields[this.columns![name]!]?.trim() ?? '';
  }

  /** The face box, or undefined if the list has none (`NULL` or an empty box). */
  private box(fields: readonly string[]): Box | undefined {
    const [left, top, width, height] = (
      ['face_x', 'face_y', 'face_width', 'face_height'] as const
    ).map((name) => parseFloat(this.field(fields, name)));
    const isBox = [left, top].every(Number.isFinite) && width! > 0 && height! > 0;
    return isBox ? { left: left!, top: top!, width: width!, height: height! } : undefined;
  }

  private async exists(path: string): Promise<boolean> {
    const folder = posix.dirname(path);
    let names = this.folders.get(folder);
    if (!names) {
      // A missing folder counts as empty: each of its images is reported as missing.
      const found = await readdir(`${this.files.images}${sep}${folder}`).catch(() => []);
      names = new Set(found);
      this.folders.set(folder, names);
    }
    return names.has(posix.basename(path));
  }
}
