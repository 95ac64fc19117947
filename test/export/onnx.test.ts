import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { exportOnnx, type Model } from '../../lib/index.js';
import { OnnxGraph } from '../../lib/export/onnx/graph.js';
import {
  inverseOrder,
  mergeOrder,
  relativePositions,
  windowKinds,
  windowMasks,
  windowOrder,
} from '../../lib/export/windows.js';
import { makeModel, side, textEmbeddings } from '../api-support.js';
import { command } from '../cli/support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';
import { readFields } from '../protobuf-reader.js';

function all(message: Uint8Array, field: number): Uint8Array[] {
  return readFields(message)
    .filter(([number]) => number === field)
    .map(([, value]) => value as Uint8Array);
}

const text = (message: Uint8Array, field: number): string =>
  Buffer.from(all(message, field)[0]!).toString('utf8');

describe('ONNX graph', () => {
  it('has each name once, and constants that are asked for again', () => {
    const graph = new OnnxGraph('g');
    const x = graph.input('x', 'float', ['batch', 2]);
    assert.throws(() => graph.input('x', 'float', [1]), /two values called 'x'/);
    assert.equal(graph.scalar(0.5), graph.scalar(0.5));
    assert.equal(graph.integers([1, -1]), graph.integers([1, -1]));
    const y = graph.node('a', 'Mul', [x, graph.scalar(0.5)]);
    assert.throws(() => graph.node('a', 'Mul', [x, x]), /two values/);
    graph.output('y', y, ['batch', 2]);
    const bytes = Buffer.concat(graph.encode().pieces());
    assert.equal(all(bytes, 1).length, 2);
    assert.equal(all(bytes, 5).length, 2);
    assert.equal(text(all(bytes, 11)[0]!, 1), 'x');
    assert.equal(text(all(bytes, 12)[0]!, 1), 'y');
  });
});

describe('places of tokens', () => {
  /** A square grid that is split like Swin-T's. */
  const square = (side: number, shift: number) => ({ height: side, width: side, window: 7, shift });

  it('are permutations that their inverse undoes', () => {
    for (const order of [
      windowOrder(square(14, 0)),
      windowOrder(square(14, 3)),
      windowOrder(square(7, 0)),
      windowOrder({ height: 4, width: 6, window: 2, shift: 1 }),
      mergeOrder(6, 6),
      mergeOrder(2, 4),
    ]) {
      const inverse = inverseOrder(order);
      order.forEach((place, i) => assert.equal(inverse[place], i));
      assert.deepEqual(
        [...order].sort((a, b) => a - b),
        order.map((_, i) => i),
      );
    }
    assert.deepEqual(windowOrder(square(14, 0)).slice(5, 9), [5, 6, 14, 15]);
    // Window 3 of the rolled picture begins at (10, 10) and wraps around both edges.
    const last = windowOrder(square(14, 3)).slice(3 * 49);
    assert.deepEqual(
      [last[0], last[3], last[4], last[48]],
      [10 * 14 + 10, 153, 10 * 14, 2 * 14 + 2],
    );
    assert.deepEqual(mergeOrder(4, 4).slice(0, 8), [0, 4, 1, 5, 2, 6, 3, 7]);
  });

  it('have the positions and masks of Swin', () => {
    const positions = relativePositions(7);
    assert.equal(positions[0], 6 * 13 + 6);
    assert.equal(positions[48], 0);
    assert.equal(positions[48 * 49], 168);
    assert.deepEqual(windowKinds(square(21, 3)), [0, 0, 2, 0, 0, 2, 1, 1, 3]);
    const masks = windowMasks(7, 3);
    const at = (kind: number, query: number, key: number): number =>
      masks[(kind * 49 + query) * 49 + key]!;
    assert.ok(masks.subarray(0, 49 * 49).every((value) => value === 0));
    assert.deepEqual([at(1, 0, 3 * 7), at(1, 0, 4 * 7), at(1, 4 * 7, 48)], [0, -100, 0]);
    assert.deepEqual([at(2, 0, 3), at(2, 0, 4), at(2, 4, 6)], [0, -100, 0]);
    assert.deepEqual([at(3, 48, 47), at(3, 48, 0), at(3, 4, 28)], [0, -100, -100]);
  });
});

describe('ONNX export', function () {
  this.timeout(120_000);
  const temporary = temporaryDirectory();

  it('writes a file that tells what it is', async () => {
    await using model = await makeModel({ logitScale: 25 });
    const file = temporary.path('model.onnx');
    await exportOnnx(model, file);
    const bytes = await readFile(file);
    assert.equal(new Map(readFields(bytes)).get(1), 8n);
    assert.equal(text(bytes, 2), 'countenance');
    assert.equal(new Map(readFields(all(bytes, 8)[0]!)).get(2), 17n);
    const metadata = Object.fromEntries(
      all(bytes, 14).map((entry) => [text(entry, 1), text(entry, 2)]),
    );
    assert.deepEqual(JSON.parse(metadata['classes']!), textEmbeddings.classes);
    assert.equal(metadata['neutral'], 'neutral');
    assert.equal(metadata['logit_scale'], '25');
    assert.match(metadata['text_embeddings']!, /no knowledge/);
    assert.match(metadata['preprocessing']!, /32 x 32.*0\.485/);
    const processor = JSON.parse(metadata['preprocessor_config']!) as { size: object };
    assert.deepEqual(processor.size, { height: side, width: side });

    const graph = all(bytes, 7)[0]!;
    const initializers = new Map(all(graph, 5).map((tensor) => [text(tensor, 8), tensor]));
    for (const [name, { data }] of model.stateDict()) {
      const raw = all(initializers.get(name)!, 9)[0]!;
      assert.ok(Buffer.from(data.buffer, data.byteOffset, data.byteLength).equals(raw), name);
    }
    assert.deepEqual(
      all(graph, 12).map((output) => text(output, 1)),
      ['logits', 'probabilities', 'expression', 'neutral'],
    );
  });

  it('refuses what it cannot write, and leaves nothing behind', async () => {
    const file = temporary.path('never.onnx');
    const model = await makeModel();
    await rejectsWith(
      exportOnnx(new Map() as unknown as Model, file),
      'ERR_INVALID_ARGUMENT',
      'Model',
    );
    const input = { input: 'photo' as 'pixels' };
    await rejectsWith(exportOnnx(model, file, input), 'ERR_INVALID_ARGUMENT', 'pixel_values');
    const signal = AbortSignal.abort();
    await rejectsWith(exportOnnx(model, file, { signal }), 'ERR_ABORTED', 'export');
    const below = temporary.path('no folder', 'x.onnx');
    await rejectsWith(exportOnnx(model, below), 'ERR_WRITE', below);
    const directory = temporary.path('model');
    await model.save(directory);
    model.close();
    await rejectsWith(exportOnnx(model, file), 'ERR_CLOSED');

    const argv = ['export', '--model', directory, '--format', 'onnx', '--out'];
    const failed = await command(...argv, below);
    assert.equal(failed.status, 1);
    assert.match(failed.stderr, /ERR_WRITE/);
    const done = await command(...argv, temporary.path('done.onnx'), '--input', 'pixels', '--json');
    assert.equal(done.status, 0, done.stderr);
    const { format, bytes } = JSON.parse(done.stdout) as { format: string; bytes: number };
    assert.equal(format, 'onnx');
    assert.equal(bytes, (await readFile(temporary.path('done.onnx'))).length);
    const left = (await readdir(temporary.path())).sort();
    assert.deepEqual(left, ['done.onnx', 'model', 'model.onnx']);
  });
});
