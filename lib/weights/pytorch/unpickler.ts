import { setImmediate } from 'node:timers/promises';
import { ByteCursor } from './byte-cursor.js';
import { instructions } from './instructions.js';
import { opcodes as op } from './opcodes.js';
import { Global, PickleProblem, Tuple } from './values.js';

/** Bounds of one pickle. They are some thousand times what a state dict needs. */
const limits = {
  /** Opcodes run. */
  steps: 1 << 24,
  /** Lists, dictionaries, tuples, texts and bytes made. */
  objects: 1 << 20,
  /** Bytes copied by what the pickle calls. */
  copies: 1 << 27,
  /** Values remembered for later reference. */
  memo: 1 << 20,
  /** Open MARKs: depth of a nested literal. */
  marks: 1000,
} as const;

/** Largest pickle that is read, 64 MiB: a state dict takes some 150 bytes a tensor. */
export const pickleLimit = 1 << 26;

/** Opcodes between two turns of the event loop: about 2 ms. */
const stepsPerTurn = 1 << 14;

/** What the outside gives a pickle. */
export interface PickleHost {
  /** The global of an allow-list; throws an unsafe {@link PickleProblem} for every other name. */
  readonly findGlobal: (module: string, name: string) => Global;
  /** The value behind a persistent id. */
  readonly loadPersistent: (id: unknown) => unknown;
}

/**
 * A pickle machine that builds inert values only: no Python name is ever looked up outside the host's
 * allow-list, and what a listed name builds is data of ours. Nothing of the file is executed.
 *
 * Reference: Lib/pickletools.py of CPython, which documents each opcode.
 */
export class Unpickler {
  private stack: unknown[] = [];
  private readonly marks: unknown[][] = [];
  private readonly memo = new Map<number, unknown>();
  private readonly cursor: ByteCursor;
  private steps = 0;
  private objects = 0;
  private copied = 0;

  constructor(
    bytes: Uint8Array,
    start: number,
    readonly host: PickleHost,
  ) {
    this.cursor = new ByteCursor(bytes, start);
  }

  /** Runs to STOP; also says where the pickle ends. */
  async run(): Promise<{ readonly value: unknown; readonly end: number }> {
    for (;;) {
      const code = this.cursor.byte();
      if (code === op.STOP) return { value: this.pop(), end: this.cursor.position };
      const instruction = instructions.get(code) ?? this.unknown(code);
      instruction(this, this.cursor);
      this.steps += 1;
      if (this.steps > limits.steps) this.exceeded('steps', limits.steps);
      if (this.steps % stepsPerTurn === 0) await setImmediate();
    }
  }

  private unknown(code: number): never {
    throw new PickleProblem(
      `its pickle has the opcode 0x${code.toString(16)} at byte ${this.cursor.position - 1}, ` +
        'which no PyTorch file needs',
    );
  }

  private exceeded(what: string, limit: number): never {
    throw new PickleProblem(`its pickle has more than ${limit} ${what}`);
  }

  push(value: unknown): void {
    this.stack.push(value);
  }

  /** Pushes a value that takes memory of its own. */
  make(value: unknown): void {
    this.objects += 1;
    if (this.objects > limits.objects) this.exceeded('objects', limits.objects);
    this.stack.push(value);
  }

  top(): unknown {
    if (this.stack.length === 0)
      throw new PickleProblem('its pickle uses a value that is not there');
    return this.stack[this.stack.length - 1];
  }

  pop(): unknown {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  popMany(count: number): unknown[] {
    if (this.stack.length < count)
      throw new PickleProblem('its pickle uses values that are not there');
    return this.stack.splice(-count, count);
  }

  /** Starts a literal. */
  mark(): void {
    if (this.marks.length >= limits.marks) this.exceeded('nested levels', limits.marks);
    this.marks.push(this.stack);
    this.stack = [];
  }

  /** Drops the top value, or an empty literal. */
  drop(): void {
    if (this.stack.length > 0) this.pop();
    else this.popMark();
  }

  /** The values since the last mark. */
  popMark(): unknown[] {
    const items = this.stack;
    const below = this.marks.pop();
    if (!below) throw new PickleProblem('its pickle closes what was never opened');
    this.stack = below;
    return items;
  }

  /** Keeps the top value for later; without an index, under the next free one. */
  remember(index = this.memo.size): void {
    this.memo.set(index, this.top());
    if (this.memo.size > limits.memo) this.exceeded('remembered values', limits.memo);
  }

  recall(index: number): void {
    if (!this.memo.has(index))
      throw new PickleProblem(`its pickle has no remembered value ${index}`);
    this.push(this.memo.get(index));
  }

  append(items: readonly unknown[]): void {
    const list = this.top();
    if (!Array.isArray(list))
      throw new PickleProblem('its pickle appends to something that is no list');
    for (const item of items) list.push(item);
  }

  setItems(items: readonly unknown[]): void {
    const map = this.top();
    if (!(map instanceof Map) || items.length % 2 !== 0) {
      throw new PickleProblem('its pickle sets items of something that is no dictionary');
    }
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  }

  construct(callee: unknown, args: unknown): void {
    if (!(callee instanceof Global) || !(args instanceof Tuple)) {
      throw new PickleProblem('its pickle calls something that is no constructor', 'unsafe');
    }
    if (!callee.build) throw new PickleProblem(`a call of ${callee.name}`, 'unsafe');
    this.make(callee.build(args.items, this.charge));
  }

  private readonly charge = (bytes: number): void => {
    this.copied += bytes;
    if (this.copied > limits.copies) this.exceeded('copied bytes', limits.copies);
  };
}
