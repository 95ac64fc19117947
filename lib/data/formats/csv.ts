import { dirname, resolve } from 'node:path';
import { describeValue } from '../../check.js';
import { CountenanceError } from '../../errors.js';
import { nameClasses, noteOnNumbers, sortClasses } from '../class-names.js';
import { fileDataset, type Dataset } from '../dataset.js';
import { readCsv, type CsvRow } from '../csv-reader.js';
import type { DataSpec } from '../spec.js';
import { badFile, canonicalSplit, type DataFormat } from './format.js';

/** Names of the columns, in upper or lower case; the options of the same names tell others. */
const columnNames = {
  path: [
    ...['path', 'file', 'image', 'filename', 'file_name', 'filepath', 'file_path', 'image_path'],
    ...['image_name', 'img', 'img_path', 'pth'],
  ],
  label: ['label', 'emotion', 'expression', 'class', 'category', 'labels', 'emotions'],
  split: ['split', 'usage', 'subset'],
} as const;
type ColumnName = keyof typeof columnNames;

/**
 * A CSV file with a header: `path,label[,split]`, or `path[,split]` and one column of probabilities (or
 * votes) per class. Paths are relative to the file. Spreadsheets' semicolons, tabs and UTF-16 are recognised.
 */
export const csvFormat: DataFormat = {
  name: 'csv',
  summary: 'a CSV file with columns path,label[,split], or path and one column per class',
  example: 'csv:faces.csv#train',
  options: ['path', 'label', 'split', 'names'],
  splits: csvSplits,
  open: openCsv,
};

/** The different values of the column `split`, in file order. */
async function csvSplits(spec: DataSpec): Promise<readonly string[]> {
  let column: number | undefined;
  const splits = new Set<string>();
  for await (const rows of readCsv(spec.path, 'Data set file', 'detect')) {
    for (const { fields } of rows) {
      const split = column === undefined ? undefined : fields[column]?.trim();
      column ??= findColumn(spec, fields, 'split');
      if (split) splits.add(canonicalSplit(split));
    }
    if (column === -1) return [];
  }
  return [...splits];
}

async function openCsv(spec: DataSpec): Promise<Dataset> {
  let table: LabelTable | SoftTable | undefined;
  for await (const rows of readCsv(spec.path, 'Data set file', 'detect')) {
    for (const row of rows) {
      if (table) table.add(row);
      else table = createTable(spec, row);
    }
  }
  if (!table) throw badFile(spec.path, 'it is empty; expected a header such as path,label,split');
  return table.finish();
}

/** The column of a header that an option names, or that has one of the usual names; -1 if there is none. */
function findColumn(spec: DataSpec, header: readonly string[], column: ColumnName): number {
  const names = header.map((name) => name.trim().normalize('NFC').toLowerCase());
  const given = spec.options[column]?.trim().normalize('NFC').toLowerCase();
  if (given === undefined) {
    const usual = columnNames[column].find((name) => names.includes(name));
    return usual === undefined ? -1 : names.indexOf(usual);
  }
  const found = names.indexOf(given);
  if (found >= 0) return found;
  const there = header.join(', ');
  throw badFile(spec.path, `its header has no column '${given}' (${column}=${given}) but ${there}`);
}

function createTable(spec: DataSpec, header: CsvRow): LabelTable | SoftTable {
  checkEncoding(spec, header);
  const names = header.fields.map((name) => name.trim().toLowerCase());
  const path = findColumn(spec, header.fields, 'path');
  if (path < 0) {
    const there = header.fields.join(', ');
    throw badFile(
      spec.path,
      `its header has no column 'path' but ${there}; '#path=NAME' in the spec names another`,
    );
  }
  const repeated = names.find((name, i) => names.indexOf(name) !== i);
  if (repeated !== undefined) throw badFile(spec.path, `its header has '${repeated}' twice`);
  const split = findColumn(spec, header.fields, 'split');
  if (spec.split !== undefined && split < 0) {
    throw badFile(
      spec.path,
      `split '${spec.split}' was asked for but it has no column 'split' (split=NAME names another)`,
    );
  }
  const label = findColumn(spec, header.fields, 'label');
  const columns = { path, split, width: names.length };
  if (label >= 0) return new LabelTable(spec, columns, label);
  const classes = header.fields
    .map((name, column) => ({ name: name.trim().normalize('NFC'), column }))
    .filter(({ column }) => column !== path && column !== split);
  if (classes.length < 2) {
    throw badFile(
      spec.path,
      "it has neither a column 'label' (label=NAME names another) nor one per class",
    );
  }
  return new SoftTable(spec, columns, classes);
}

interface Columns {
  readonly path: number;
  readonly split: number;
  readonly width: number;
}

abstract class Table {
  protected readonly files: string[] = [];

  constructor(
    protected readonly spec: DataSpec,
    private readonly columns: Columns,
  ) {}

  add(row: CsvRow): void {
    const { path, split, width } = this.columns;
    const { fields } = row;
    checkEncoding(this.spec, row);
    if (fields.length !== width) {
      throw this.fail(row, `${fields.length} fields, but the header has ${width}`);
    }
    if (this.spec.split !== undefined) {
      if (canonicalSplit(fields[split]!.trim()) !== canonicalSplit(this.spec.split)) return;
    }
    const file = fields[path]!.trim();
    if (file === '') throw this.fail(row, 'the path is empty');
    this.files.push(resolve(dirname(this.spec.path), file));
    this.addTarget(row);
  }

  abstract finish(): Dataset;

  protected abstract addTarget(row: CsvRow): void;

  protected fail(row: CsvRow, reason: string): CountenanceError {
    return badFile(this.spec.path, `line ${row.line}: ${reason}`);
  }
}

/** Bytes that are no UTF-8 are read as U+FFFD: classes and file names would be wrong. */
function checkEncoding({ path }: DataSpec, { line, fields }: CsvRow): void {
  if (!fields.some((field) => field.includes('\ufffd'))) return;
  throw badFile(path, `line ${line} is not UTF-8; save the file as "CSV UTF-8"`);
}

/** Class names in a column; the classes are all names in the file, from all splits, sorted. */
class LabelTable extends Table {
  private readonly names: string[] = [];
  private readonly known = new Set<string>();

  constructor(
    spec: DataSpec,
    columns: Columns,
    private readonly column: number,
  ) {
    super(spec, columns);
  }

  finish(): Dataset {
    const found = sortClasses([...this.known]);
    const byName = new Map(found.map((name, i) => [name, i]));
    const labels = this.names.map((name) => byName.get(name)!);
    const classes = nameClasses(found, this.spec);
    const notes = noteOnNumbers(classes);
    return fileDataset({ name: this.spec.text, classes, files: this.files, labels, notes });
  }

  override add(row: CsvRow): void {
    const name = nameIn(row, this.column);
    if (name === '') throw this.fail(row, 'the label is empty');
    this.known.add(name);
    super.add(row);
  }

  protected addTarget(row: CsvRow): void {
    this.names.push(nameIn(row, this.column));
  }
}

function nameIn({ fields }: CsvRow, column: number): string {
  return fields[column]?.trim().normalize('NFC') ?? '';
}

/** Probabilities or votes; each row is scaled to sum to 1. */
class SoftTable extends Table {
  private readonly targets: number[] = [];
  private readonly labels: number[] = [];

  constructor(
    spec: DataSpec,
    columns: Columns,
    private readonly classColumns: readonly { readonly name: string; readonly column: number }[],
  ) {
    super(spec, columns);
  }

  finish(): Dataset {
    return fileDataset({
      name: this.spec.text,
      classes: nameClasses(
        this.classColumns.map(({ name }) => name),
        this.spec,
      ),
      files: this.files,
      labels: this.labels,
      targets: new Float32Array(this.targets),
      targetKind: 'distribution',
    });
  }

  protected addTarget(row: CsvRow): void {
    const values = this.classColumns.map(({ column }) => {
      const text = row.fields[column]!.trim();
      // A file of a country with decimal commas has other separators.
      const value = text === '' ? NaN : Number(text.replace(',', '.'));
      if (!(value >= 0 && Number.isFinite(value))) throw this.badTarget(row, describeValue(text));
      return value;
    });
    const sum = values.reduce((total, value) => total + value, 0);
    if (sum === 0) throw this.badTarget(row, 'only zeros');
    this.labels.push(values.indexOf(Math.max(...values)));
    for (const value of values) this.targets.push(value / sum);
  }

  private badTarget(row: CsvRow, what: string): CountenanceError {
    return new CountenanceError(
      'ERR_LABEL_RANGE',
      `'${this.spec.path}', line ${row.line}: a soft label contains ${what}; ` +
        'expected finite numbers of at least 0, not all 0',
    );
  }
}
