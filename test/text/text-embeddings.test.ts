import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import {
  selectTextEmbeddings,
  validateTextEmbeddings,
  type TextEmbeddings,
} from '../../lib/text/embeddings.js';
import { promptFor, renderPrompt } from '../../lib/text/prompts.js';
import { loadTextEmbeddings, saveTextEmbeddings } from '../../lib/text/file.js';
import { syntheticTextEmbeddings } from '../../lib/text/synthetic.js';
import { writeSafetensors } from '../../lib/weights/safetensors.js';
import { rafdbClasses } from '../../lib/data/classes.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

const small: TextEmbeddings = {
  shape: [2, 3],
  data: Float32Array.of(1, 2, 3, 4, 5, 6),
  classes: ['happiness', 'neutral'],
  source: 'a test',
};

describe('synthetic text embeddings', () => {
  it('are orthonormal, deterministic, and say that they hold no knowledge', () => {
    const a = syntheticTextEmbeddings(rafdbClasses, 512, 3);
    assert.deepEqual(a.shape, [7, 512]);
    assert.deepEqual(a.classes, [...rafdbClasses]);
    assert.match(a.source, /no knowledge/);
    for (let i = 0; i < 7; i++) {
      for (let j = 0; j <= i; j++) {
        let product = 0;
        for (let k = 0; k < 512; k++) product += a.data[i * 512 + k]! * a.data[j * 512 + k]!;
        // Orthonormal in double, then rounded to float32: 512 roundings of values around 0.04.
        assert.ok(Math.abs(product - (i === j ? 1 : 0)) < 1e-6, `${i} ${j} ${product}`);
      }
    }
    assert.deepEqual(syntheticTextEmbeddings(rafdbClasses, 512, 3), a);
    assert.notDeepEqual(syntheticTextEmbeddings(rafdbClasses, 512, 4).data, a.data);
  });

  it('fill the whole space when there are as many classes as dimensions', () => {
    const { data } = syntheticTextEmbeddings(['a', 'b', 'c'], 3, 0);
    const [a, b, c, d, e, f, g, h, i] = data as unknown as number[];
    const determinant =
      a! * (e! * i! - f! * h!) - b! * (d! * i! - f! * g!) + c! * (d! * h! - e! * g!);
    assert.ok(Math.abs(Math.abs(determinant) - 1) < 1e-6);
  });

  it('refuse what cannot be', async () => {
    await rejectsWith(() => syntheticTextEmbeddings(['a'], 8), 'ERR_INVALID_ARGUMENT', 'classes');
    await rejectsWith(
      () => syntheticTextEmbeddings(['a', 'a'], 8),
      'ERR_INVALID_ARGUMENT',
      'distinct',
    );
    await rejectsWith(
      () => syntheticTextEmbeddings(['a', 'b', 'c'], 2),
      'ERR_INVALID_ARGUMENT',
      '3',
    );
    await rejectsWith(
      () => syntheticTextEmbeddings(['a', 'b'], 8, -1),
      'ERR_INVALID_ARGUMENT',
      'seed',
    );
  });
});

describe('text embeddings', () => {
  const temporary = temporaryDirectory();

  it('come back bit for bit from a safetensors file', async () => {
    const file = temporary.path('t.safetensors');
    const full = {
      ...small,
      prompts: ['one', ['two "quoted"', 'three']],
      logitScale: 100,
      model: 'owner/name',
      created: '2026-01-02T03:04:05.678Z',
    };
    await saveTextEmbeddings(file, full);
    assert.deepEqual(await loadTextEmbeddings(file), full);
    await saveTextEmbeddings(file, small);
    assert.deepEqual(await loadTextEmbeddings(file), small);
  });

  it('are found in a foreign safetensors file as its only matrix', async () => {
    const file = temporary.path('foreign.safetensors');
    const matrix = { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
    const vector = { shape: [2], data: Float32Array.of(1, 2) };
    await writeSafetensors(
      file,
      new Map([
        ['bias', vector],
        ['text', matrix],
      ]),
    );
    assert.deepEqual((await loadTextEmbeddings(file)).shape, [2, 2]);
    await writeSafetensors(
      file,
      new Map([
        ['a', matrix],
        ['b', matrix],
      ]),
    );
    await rejectsWith(
      loadTextEmbeddings(file),
      'ERR_TEXT_EMBEDDINGS',
      'foreign.safetensors',
      'a, b',
    );
  });

  it('are read from three forms of JSON', async () => {
    const file = temporary.path('t.json');
    const rows = [
      [1, 2, 3],
      [4, 5, 6],
    ];
    await writeFile(
      file,
      JSON.stringify({ classes: small.classes, embeddings: rows, source: 'a test' }),
    );
    assert.deepEqual(await loadTextEmbeddings(file), small);
    await writeFile(file, JSON.stringify({ happiness: rows[0], neutral: rows[1] }));
    assert.deepEqual(await loadTextEmbeddings(file), { ...small, source: file });
    await writeFile(file, JSON.stringify(rows));
    const bare = await loadTextEmbeddings(file);
    assert.deepEqual(bare.data, small.data);
    assert.equal(bare.classes, undefined);
  });

  it('are refused with the reason when a file is no good', async () => {
    const file = temporary.path('bad.json');
    const refuses = async (
      content: string,
      code: 'ERR_TEXT_EMBEDDINGS' | 'ERR_SHAPE_MISMATCH',
      reason: string,
    ): Promise<void> => {
      await writeFile(file, content);
      await rejectsWith(loadTextEmbeddings(file), code, 'bad.json', reason);
    };
    await refuses('{"a":', 'ERR_TEXT_EMBEDDINGS', 'JSON');
    await refuses('7', 'ERR_TEXT_EMBEDDINGS', 'neither');
    await refuses('[[1,2],[3]]', 'ERR_TEXT_EMBEDDINGS', 'row 1');
    await refuses('[[1,2],[3,null]]', 'ERR_TEXT_EMBEDDINGS', 'null');
    await refuses('[]', 'ERR_SHAPE_MISMATCH', '[0, 0]');
    await refuses(
      '{"embeddings":[[1,2],[3,4]],"classes":["a"]}',
      'ERR_TEXT_EMBEDDINGS',
      '1 class names',
    );
    await refuses(
      '{"embeddings":[[1,2],[3,4]],"classes":["a","a"]}',
      'ERR_TEXT_EMBEDDINGS',
      'twice',
    );
    await refuses('{"embeddings":[[1,2],[3,4]],"logitScale":-1}', 'ERR_TEXT_EMBEDDINGS', 'scale');
    await rejectsWith(loadTextEmbeddings('t.pth'), 'ERR_TEXT_EMBEDDINGS', 't.pth', '.safetensors');
    await rejectsWith(
      loadTextEmbeddings(temporary.path('none.json')),
      'ERR_FILE_NOT_FOUND',
      'none.json',
    );
  });

  it('are refused with NaN, infinity or zero rows, which are named', async () => {
    const changed = (index: number, ...values: number[]): TextEmbeddings => {
      const data = small.data.slice();
      data.set(values, index);
      return { ...small, data };
    };
    await rejectsWith(() => validateTextEmbeddings(changed(4, NaN)), 'ERR_NOT_FINITE', "'neutral'");
    await rejectsWith(
      () => validateTextEmbeddings(changed(0, Infinity)),
      'ERR_NOT_FINITE',
      "'happiness'",
    );
    await rejectsWith(
      () => validateTextEmbeddings(changed(0, 0, 0, 0), 'f'),
      'ERR_ZERO_NORM',
      "'happiness'",
      'f',
    );
    await rejectsWith(
      () => validateTextEmbeddings({ ...small, shape: [3, 3] }),
      'ERR_SHAPE_MISMATCH',
      '[3, 3]',
    );
    await rejectsWith(
      () => validateTextEmbeddings(small, 'f', 'rest'),
      'ERR_TEXT_EMBEDDINGS',
      "'rest'",
    );
    const none = undefined as unknown as Float32Array;
    await rejectsWith(
      () => validateTextEmbeddings({ ...small, data: none }),
      'ERR_TEXT_EMBEDDINGS',
    );
  });

  it('are put in the order of the classes', async () => {
    const chosen = selectTextEmbeddings({ ...small, prompts: ['h', 'n'] }, [
      'neutral',
      'happiness',
    ]);
    assert.deepEqual([...chosen.data], [4, 5, 6, 1, 2, 3]);
    assert.deepEqual(chosen.prompts, ['n', 'h']);
    await rejectsWith(
      () => selectTextEmbeddings(small, ['neutral', 'fear']),
      'ERR_TEXT_EMBEDDINGS',
      'fear',
    );
    const bare = { shape: small.shape, data: small.data, source: small.source };
    assert.deepEqual(selectTextEmbeddings(bare, ['x', 'y']).classes, ['x', 'y']);
    await rejectsWith(() => selectTextEmbeddings(bare, ['x']), 'ERR_TEXT_EMBEDDINGS', '2 rows');
  });

  it('use the prompts of the paper', () => {
    assert.equal(promptFor('surprise'), 'a photo of a person making a surprise facial expression.');
    assert.equal(promptFor('anger'), 'a photo of a person making an anger facial expression.');
  });

  it('use other prompts, of any language', async () => {
    assert.equal(renderPrompt('{a} {class}, {class}!', 'angry face'), 'an angry face, angry face!');
    assert.equal(renderPrompt('ein Gesicht: {class}', 'Überraschung'), 'ein Gesicht: Überraschung');
    assert.equal(renderPrompt('{class}', '$& {a}'), '$& {a}', 'words are taken as they are');
    await rejectsWith(() => renderPrompt('a face', 'joy'), 'ERR_INVALID_ARGUMENT', '{class}');
  });
});
