import type { TensorData } from '../../types.js';
import { opcodes as op } from './opcodes.js';

/**
 * A pickle (protocol 2, PyTorch's) of an OrderedDict of float32 tensors; the storage of tensor i has the
 * key `i`. It only uses names that `torch.load(weights_only=True)` allows.
 */
export function pickleStateDict(tensors: ReadonlyMap<string, TensorData>): Uint8Array {
  const out = new Pickle();
  out.code(op.PROTO, 2);
  out.emptyOrderedDict();
  out.code(op.MARK);
  let key = 0;
  for (const [name, { shape, data }] of tensors) {
    out.text(name);
    out.global('torch._utils', '_rebuild_tensor_v2');
    out.code(op.MARK);
    out.code(op.MARK);
    out.text('storage');
    out.global('torch', 'FloatStorage');
    out.text(String(key));
    out.text('cpu');
    out.integer(data.length);
    out.code(op.TUPLE);
    out.code(op.BINPERSID);
    out.integer(0); // offset
    out.integers(shape);
    out.integers(rowMajorStrides(shape));
    out.code(op.NEWFALSE); // requires_grad
    out.emptyOrderedDict(); // backward hooks
    out.code(op.TUPLE);
    out.code(op.REDUCE);
    key += 1;
  }
  out.code(op.SETITEMS);
  out.code(op.STOP);
  return out.bytes();
}

function rowMajorStrides(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * shape[i + 1]!;
  return strides;
}

/** A stream of opcodes. */
class Pickle {
  private readonly pieces: Uint8Array[] = [];

  code(...bytes: readonly number[]): void {
    this.pieces.push(Uint8Array.from(bytes));
  }

  global(module: string, name: string): void {
    this.code(op.GLOBAL);
    this.pieces.push(Buffer.from(`${module}\n${name}\n`, 'utf8'));
  }

  text(value: string): void {
    const content = Buffer.from(value, 'utf8');
    const start = Buffer.alloc(5);
    start[0] = op.BINUNICODE;
    start.writeUInt32LE(content.length, 1);
    this.pieces.push(start, content);
  }

  /** An integer of at least 0. */
  integer(value: number): void {
    if (value < 0x100) this.code(op.BININT1, value);
    else {
      const bytes = Buffer.alloc(10);
      bytes[0] = op.LONG1;
      bytes[1] = 8;
      bytes.writeBigInt64LE(BigInt(value), 2);
      this.pieces.push(bytes);
    }
  }

  integers(values: readonly number[]): void {
    this.code(op.MARK);
    for (const value of values) this.integer(value);
    this.code(op.TUPLE);
  }

  emptyOrderedDict(): void {
    this.global('collections', 'OrderedDict');
    this.code(op.EMPTY_TUPLE, op.REDUCE);
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.pieces);
  }
}
