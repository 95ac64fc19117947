import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { exportOnnx, type Model } from '../../lib/index.js';
import { Message } from '../../lib/export/onnx/protobuf.js';
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

const hex = (message: Message): string => Buffer.concat(message.pieces()).toString('hex');

/** The fields of a protobuf message: number and value, in order. */
function fields(bytes: Uint8Array): [number, number | bigint | Uint8Array][] {
  const result: [number, number | bigint | Uint8Array][] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const type = tag & 7;
    if (type === 0) {
      result.push([tag >> 3, varint()]);
      continue;
    }
    const length = type === 5 ? 4 : Number(varint());
    assert.ok(at + length <= bytes.length && (type === 2 || type === 5), `wire type ${type}`);
    result.push([tag >> 3, bytes.subarray(at, at + length)]);
    at += length;
  }
  return result;
}

function all(message: Uint8Array, field: number): Uint8Array[] {
  return fields(message)
    .filter(([number]) => number === field)
    .map(([, value]) => value as Uint8Array);
}

const text = (message: Uint8Array, field: number): string =>
  Buffer.from(all(message, field)[0]!).toString('utf8');

describe('protobuf writer', () => {
  it('encodes as the specification says', () => {
    // The examples of the encoding guide: 150, "testing", a nested 150; then the ends of the ranges.
    assert.equal(hex(new Message().int(1, 150)), '089601');
    assert.equal(hex(new Message().string(2, 'testing')), '120774657374696e67');
    assert.equal(hex(new Message().message(3, new Message().int(1, 150))), '1a03089601');
    assert.equal(hex(new Message().ints(4, [3, 270, 86942])), '2206038e029ea705');
    assert.equal(hex(new Message().int(1, -1)), '08ffffffffffffffffff01');
    assert.equal(hex(new Message().int(1, 2n ** 63n - 1n)), '08ffffffffffffffff7f');
    assert.equal(hex(new Message().int(1, 0)), '0800');
    assert.equal(hex(new Message().float(1, 1.5)), '0d0000c03f');
    assert.equal(hex(new Message().string(16, 'ü')), '820102c3bc');
    assert.equal(hex(new Message()), '');
  });

  it('keeps large bytes where they are and joins small ones', () => {
    const large = new Uint8Array(5000).fill(7);
    const nested = new Message().int(1, 1).bytes(2, large);
    const pieces = new Message().string(1, 'a').message(2, nested).int(3, 2).pieces();
    assert.equal(pieces.length, 3);
    assert.equal(pieces[1], large);
    assert.ok(Buffer.from(large).equals(all(all(Buffer.concat(pieces), 2)[0]!, 2)[0]!));
  });

  it('refuses what no reader takes, above 2 GiB', () => {
    const half = new Uint8Array(2 ** 30);
    const message = new Message().bytes(1, half).bytes(1, half);
    assert.throws(() => message.pieces(), { code: 'ERR_UNSUPPORTED' });
  });
});

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
  /** A square grid that is cut as Swin-T's. */
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
    // Window 3 of the rolled picture begins at (10, 10) and comes round both edges.
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
    assert.equal(new Map(fields(bytes)).get(1), 8n);
    assert.equal(text(bytes, 2), 'countenance');
    assert.equal(new Map(fields(all(bytes, 8)[0]!)).get(2), 17n);
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
