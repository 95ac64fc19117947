import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { countClasses } from '../../lib/data/dataset.js';
import { openDataset, splitsOf } from '../../lib/data/registry.js';
import { rejectsWith, temporaryDirectory } from './data-support.js';
import { writeFace } from './synthetic-files.js';

describe('CSV of spreadsheets', () => {
  const temporary = temporaryDirectory();
  const rows = [
    ['path', 'label', 'split'],
    ['a.png', 'fear', 'train'],
    ['b, c.png', 'dégoût', 'train'],
    ['d.png', 'fear', 'test'],
  ];

  before(async () => {
    for (const name of ['a.png', 'b, c.png', 'd.png']) {
      await writeFace(temporary.path(name), 'fear', name.length);
    }
  });

  /** The rows with a separator, quoted where they need it. */
  const table = (separator: string, end = '\n'): string =>
    rows
      .map((row) =>
        row
          .map((field) => (field.includes(',') && separator === ',' ? `"${field}"` : field))
          .join(separator),
      )
      .join(end);

  async function write(content: string | Buffer): Promise<string> {
    const file = temporary.path('list.csv');
    await writeFile(file, content);
    return file;
  }

  async function reads(content: string | Buffer, what: string): Promise<void> {
    const file = await write(content);
    const dataset = await openDataset(`csv:${file}#train`);
    assert.deepEqual(dataset.classes, ['dégoût', 'fear'], what);
    assert.deepEqual(countClasses(dataset), [1, 1], what);
    for (const index of [0, 1]) assert.ok((await dataset.load(index)).width > 0, what);
    const splits = await splitsOf(`csv:${file}`);
    assert.deepEqual(
      splits.map(({ name }) => name),
      ['train', 'test'],
      what,
    );
  }

  it('is read with commas, semicolons and tabs, and with a line that names the separator', async () => {
    for (const separator of [',', ';', '\t']) {
      for (const end of ['\n', '\r\n']) await reads(table(separator, end), separator + end);
    }
    await reads(`sep=;\r\n${table(';', '\r\n')}`, 'sep=;');
    await reads(`\ufeffsep=|\n${table('|')}`, 'sep=|');
  });

  it('is read in UTF-8 and UTF-16, with and without a mark', async () => {
    const text = table('\t', '\r\n');
    const little = Buffer.from(text, 'utf16le');
    const mark = Buffer.from('\ufeff', 'utf16le');
    await reads(`\ufeff${text}`, 'UTF-8 with a mark');
    await reads(Buffer.concat([mark, little]), 'UTF-16, little endian');
    await reads(Buffer.concat([mark, little]).swap16(), 'UTF-16, big endian');
    await reads(little, 'UTF-16 without a mark');
    // A piece of a file may end within a letter.
    const long = `${table(';')}\n${`a.png;dégoût;train\n`.repeat(20_000)}`;
    const dataset = await openDataset(
      `csv:${await write(Buffer.from(`\ufeff${long}`, 'utf16le'))}#train`,
    );
    assert.deepEqual(countClasses(dataset), [20_001, 1]);
    assert.deepEqual(dataset.classes, ['dégoût', 'fear']);

    const latin = await write(Buffer.from(table(';'), 'latin1'));
    await rejectsWith(
      openDataset(`csv:${latin}#train`),
      'ERR_DATASET_FORMAT',
      'line 3 is not UTF-8',
      'CSV UTF-8',
    );
  });

  it('may have other names of columns, in capitals, or names them by options', async () => {
    const named = (header: string, rest = 'a.png;fear\n'): Promise<string> =>
      write(`${header}\n${rest}`);
    for (const header of [
      'Path;Emotion',
      'FILENAME;Expression',
      'image_path;class',
      ' Image ; Label ',
    ]) {
      const dataset = await openDataset(`csv:${await named(header)}`);
      assert.deepEqual([dataset.size, dataset.classes], [1, ['fear']], header);
    }
    const german = await named('Datei;Gefühl;Teil', 'a.png;fear;train\nd.png;fear;test\n');
    const options = 'path=Datei,label=gefühl,split=Teil';
    assert.equal((await openDataset(`csv:${german}#test,${options}`)).size, 1);
    assert.deepEqual((await splitsOf(`csv:${german}#${options}`)).length, 2);
    const refuses = (spec: string, ...parts: string[]): Promise<unknown> =>
      rejectsWith(openDataset(spec), 'ERR_DATASET_FORMAT', ...parts);
    await refuses(`csv:${german}`, "no column 'path' but Datei, Gefühl, Teil", "'#path=NAME'");
    await refuses(`csv:${german}#path=Bild`, "no column 'bild' (path=bild)", 'Datei');
    await refuses(`csv:${german}#test,path=Datei,label=Gefühl`, 'split=NAME names another');
    const unlabelled = await named('path;x', 'a.png;1\n');
    await refuses(`csv:${unlabelled}`, 'label=NAME names another');
    const numbers = await named('path;label', 'a.png;1\nd.png;2\n');
    assert.match((await openDataset(`csv:${numbers}`)).notes.join(), /only numbers \(1, 2\)/);
    const joined = await openDataset(`csv:${numbers}#names=fear|neutral`);
    assert.deepEqual(joined.classes, ['fear', 'neutral']);
  });

  it('may have decimal commas, no-break spaces and empty lines', async () => {
    const soft = await write('path;fear;neutral\r\na.png;0,25;0,75\r\n\r\nd.png;\u00a01;0\r\n');
    const dataset = await openDataset(`csv:${soft}`);
    assert.deepEqual([...dataset.target(0)!], [0.25, 0.75]);
    assert.deepEqual([...dataset.target(1)!], [1, 0]);
    const spaced = await write('path,label\n\u00a0a.png\u00a0,\u00a0fear\n');
    const trimmed = await openDataset(`csv:${spaced}`);
    assert.deepEqual(trimmed.classes, ['fear']);
    assert.ok((await trimmed.load(0)).width > 0);
  });
});
