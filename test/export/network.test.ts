import assert from 'node:assert/strict';
import type { NativeGraph, NativeOperation } from '../../lib/native.js';
import { writeNetwork } from '../../lib/export/network.js';
import { OnnxGraph } from '../../lib/export/onnx/graph.js';
import { mixed, mixedGraph, mixedState } from './support.js';

const text = { shape: [2, 4] as [number, number], data: Float32Array.from({ length: 8 }, () => 1) };

function write(graph: NativeGraph): string {
  const onnx = new OnnxGraph('test');
  const images = onnx.input('images', 'float', ['batch', 3, mixed.height, mixed.width]);
  writeNetwork(graph, images, { onnx, text, state: mixedState() });
  return Buffer.concat(onnx.encode().pieces()).toString('latin1');
}

const count = (text: string, word: string): number => text.split(word).length - 1;

describe('ONNX export of a network', () => {
  it('writes an encoder that it has never seen, transposed only where the layout changes', () => {
    const bytes = write(mixedGraph());
    // The name of a node appears twice in its message, and once where it is read.
    assert.equal(count(bytes, 'first/Conv/rows/Transpose'), 3);
    assert.equal(count(bytes, 'dense/Gemm/planes/Transpose'), 3);
    assert.equal(count(bytes, '/Transpose'), 6);
  });

  it('names what it does not know', () => {
    const graph = mixedGraph();
    const spoiled = (change: Partial<NativeOperation>): NativeGraph => ({
      ...graph,
      operations: graph.operations.map((operation, i) =>
        i === 0 ? { ...operation, ...change } : operation,
      ),
    });
    const fails = (change: Partial<NativeOperation>, message: RegExp): void => {
      assert.throws(() => write(spoiled(change)), { code: 'ERR_INTERNAL', message });
    };
    fails({ type: 'fourier' }, /'fourier'.*'first'/);
    fails({ type: 'conv_norm' }, /'first'.*norm_weight/);
    fails({ attributes: { padding: 1 } }, /'first'.*'stride'/);
    fails({ inputs: {} }, /'first'.*input 'x'/);
    fails({ parameters: { weight: 'nowhere' } }, /'first'.*'nowhere'/);
    fails({ outputs: {} }, /'first'.*output 'y'/);
  });
});
