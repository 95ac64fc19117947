import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { selectClasses, stratifiedSplit } from '../../lib/data/subset.js';
import { countClasses, type Dataset } from '../../lib/data/dataset.js';
import { mixDatasets } from '../../lib/data/mix.js';
import { openDataset } from '../../lib/data/registry.js';
import { evaluate } from '../../lib/model/evaluate.js';
import { Model } from '../../lib/model/model.js';
import { syntheticTextEmbeddings } from '../../lib/text/synthetic.js';
import { selectTextEmbeddings } from '../../lib/text/embeddings.js';
import { command } from '../cli/support.js';
import { rejectsWith, temporaryDirectory } from './data-support.js';
import { writeBelow, writeFace } from './synthetic-files.js';

describe('what lies beside the images', function () {
  this.timeout(60_000);
  const temporary = temporaryDirectory();
  const faces = (...path: string[]): string => temporary.path('faces', ...path);

  before(async () => {
    for (const [i, label] of ['fear', 'neutral'].entries()) {
      for (const k of [0, 1]) await writeFace(faces(label, `${k}.png`), label, 2 * i + k);
      // A thumbnail of a file server, and macOS' copy of a file's attributes.
      await writeFace(faces(label, '@eaDir', '0.png', 'thumb.jpg'), label, 9);
      await writeBelow(faces(label, '._0.png'), 'Mac OS X');
    }
    await writeBelow(faces('__MACOSX', 'fear', '._0.png'), 'Mac OS X');
    await writeBelow(faces('lost+found', 'x'), '');
    await writeBelow(faces('fear', 'Thumbs.db'), '');
    await writeBelow(faces('fear', 'Unconfirmed 1.crdownload'), '');
    await writeBelow(faces('fear', 'IMG_1.HEIC'), '');
    await writeBelow(faces('fear', 'notes.txt'), '');
    await writeBelow(faces('fear', 'more.txt'), '');
    await writeBelow(faces('stray.png'), '');
    await writeBelow(faces('README.md'), '');
  });

  it('is left out of a folder, and told', async () => {
    const dataset = await openDataset(`folder:${faces()}`);
    assert.deepEqual(dataset.classes, ['fear', 'neutral']);
    assert.deepEqual(countClasses(dataset), [2, 2]);
    assert.deepEqual(dataset.notes, [
      'left out, put there by a system or a browser: *.crdownload, ._* (2), @eaDir (2), Thumbs.db, ' +
        '__MACOSX, lost+found',
      'left out, no images in a class folder: *.HEIC, *.txt (2), images beside the class folders',
    ]);
    const { stdout, status } = await command('data', 'info', `folder:${faces()}`);
    assert.equal(status, 0);
    for (const note of dataset.notes) assert.ok(stdout.includes(`${note}\n`), note);
    assert.ok(stdout.includes('duplicates are images of equal pixels'), stdout);
    assert.ok(stdout.includes('nothing is wrong'));
  });

  it('does not hide that a class is empty', async () => {
    await mkdir(temporary.path('empty', 'joy'), { recursive: true });
    await writeFace(temporary.path('empty', 'fear', '0.png'), 'fear', 1);
    const { stdout } = await command('data', 'info', `folder:${temporary.path('empty')}`);
    assert.ok(stdout.includes('no image of joy\n') && stdout.includes('nothing else is wrong'));
  });

  it('is left out of splits and of the folders of other data sets', async () => {
    await writeFace(temporary.path('split', 'train', 'fear', '0.png'), 'fear', 1);
    await mkdir(temporary.path('split', '__MACOSX', 'train'), { recursive: true });
    assert.equal((await openDataset(`folder:${temporary.path('split')}#train`)).size, 1);
    const whole = openDataset(`folder:${temporary.path('split')}`);
    await rejectsWith(whole, 'ERR_DATASET_FORMAT', 'it contains splits', '#train');

    await writeFace(temporary.path('jaffe', 'KA.AN1.39.png'), 'anger', 1);
    await writeBelow(temporary.path('jaffe', '._KA.AN1.39.png'), 'Mac OS X');
    assert.equal((await openDataset(`jaffe:${temporary.path('jaffe')}`)).size, 1);
  });
});

describe('names of classes', function () {
  this.timeout(60_000);
  const temporary = temporaryDirectory();
  const [composed, decomposed] = (['NFC', 'NFD'] as const).map((form) =>
    'dégout'.normalize(form),
  ) as [string, string];

  it('are equal in both ways to write an accent', async () => {
    assert.notEqual(composed, decomposed);
    await writeFace(temporary.path('mac', decomposed, '0.png'), 'disgust', 1);
    await writeFace(temporary.path('mac', 'neutral', '0.png'), 'neutral', 2);
    await writeFace(temporary.path('linux', composed, '0.png'), 'disgust', 3);
    await writeFace(temporary.path('linux', 'neutral', '0.png'), 'neutral', 4);
    const mac = await openDataset(`folder:${temporary.path('mac')}`);
    const linux = await openDataset(`folder:${temporary.path('linux')}`);
    assert.deepEqual(mac.classes, [composed, 'neutral']);
    assert.deepEqual(mixDatasets([mac, linux]).classes, [composed, 'neutral']);
    assert.equal((await mac.load(0)).width > 0, true, 'the file keeps its own name');
    assert.deepEqual(countClasses(selectClasses(mac, [decomposed])), [1]);

    // A data set that is not from us, and a model of another spelling.
    const foreign: Dataset = { ...mac, classes: [decomposed, 'neutral'] };
    const text = syntheticTextEmbeddings([composed, 'neutral']);
    const rows = selectTextEmbeddings(text, foreign.classes);
    assert.deepEqual(rows.data, text.data);
    const options = { backbone: 'resnet18', inputSize: 32, textEmbeddings: text } as const;
    await using model = await Model.create({ ...options, classes: [composed, 'neutral'] });
    const { count, mapping } = await evaluate(model, foreign);
    assert.equal(count, 2);
    assert.deepEqual(mapping?.onlyInData, {});

    // Both spellings in one folder are one class.
    await writeFace(temporary.path('linux', decomposed, '1.png'), 'disgust', 5);
    const both = await openDataset(`folder:${temporary.path('linux')}`);
    assert.deepEqual(both.classes, [composed, 'neutral']);
    assert.deepEqual(countClasses(both), [2, 1]);
    assert.equal((await stratifiedSplit(both, 0.5, 0)).train.size, 2);
  });

  it('are equal in a list and on the disk', async () => {
    await writeFace(temporary.path('list', `${decomposed}.png`), 'disgust', 1);
    const file = await writeBelow(
      temporary.path('list', 'list.csv'),
      `path,label\n${composed}.png,${decomposed}\n${decomposed}.png,${composed}\n`,
    );
    const dataset = await openDataset(`csv:${file}`);
    assert.deepEqual(dataset.classes, [composed]);
    assert.deepEqual(await dataset.load(0), await dataset.load(1));
    const missing = await writeBelow(
      temporary.path('list', 'missing.csv'),
      `path,label\né.png,${composed}\n`,
    );
    const incomplete = await openDataset(`csv:${missing}`);
    await rejectsWith(incomplete.load(0), 'ERR_FILE_NOT_FOUND', 'é.png');
  });

  it('that are numbers are told, and named by an option', async () => {
    const root = temporary.path('raf', 'DATASET');
    for (let label = 1; label <= 7; label++) {
      await writeFace(`${root}/train/${label}/train_${label}_aligned.jpg`, 'neutral', label);
    }
    const plain = await openDataset(`folder:${root}#train`);
    assert.deepEqual(plain.classes, ['1', '2', '3', '4', '5', '6', '7']);
    assert.match(plain.notes.join(), /only numbers \(1, .* 7\); names=rafdb or names=a\|b\|\.\.\./);
    const named = await openDataset(`folder:${root}#train,names=rafdb`);
    assert.equal(named.classes[named.label(3)], 'happiness');
    assert.equal(named.neutral, 'neutral');
    assert.deepEqual(named.notes, []);
    const list = 'a|b|c|d|e|f|g';
    const own = await openDataset(`folder:${root}#train,names=${list}`);
    assert.deepEqual(own.classes, list.split('|'));

    // Numbers are sorted by value: 10 comes after 9.
    const many = Array.from({ length: 11 }, (_, i) => `${i}.png,${i}`).join('\n');
    const csv = await writeBelow(temporary.path('many.csv'), `path,label\n${many}\n`);
    assert.deepEqual((await openDataset(`csv:${csv}`)).classes.slice(-2), ['9', '10']);

    const refuses = (spec: string, ...parts: string[]): Promise<unknown> =>
      rejectsWith(openDataset(spec), 'ERR_DATASET_FORMAT', ...parts);
    await refuses(`folder:${root}#train,names=affectnet8`, '8 names to 7 classes: 1, 2');
    await refuses(`folder:${root}#train,names=raf`, 'names=raf', 'rafdb, affectnet7');
    await refuses(`rafdb:${root}#train`, `'folder:${root}#train,names=rafdb'`);

    const { status, stderr } = await command(
      ...['train', '--data', `folder:${root}#train`, '--text', 'synthetic', '--size', '32'],
      ...['--validation-fraction', '0', '--out', temporary.path('out')],
    );
    assert.equal(status, 1);
    assert.match(stderr, /No class is named neutral: .*--neutral.*names=.*1, 2, 3/);
  });
});
