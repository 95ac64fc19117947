import { foreignCall, ForeignObject, isForeign, type ForeignName } from './foreign.js';
import { Global, PickleProblem, Tuple } from './values.js';

/** Limits of one pickle, about a thousand times what a state dict needs. */
const limits = {
  /** Lists, dictionaries, tuples, strings and bytes created. */
  objects: 1 << 20,
  /** Bytes copied by what the pickle calls. */
  copies: 1 << 27,
  /** Values remembered for later reference. */
  memo: 1 << 20,
  /** Open MARKs: depth of a nested literal. */
  marks: 1000,
} as const;

/** What a pickle can get from outside. */
export interface PickleHost {
  /** The global of an allow-list; any other name stays a text, or throws an unsafe {@link PickleProblem}. */
  readonly findGlobal: (module: string, name: string) => Global | ForeignName;
  /** The value behind a persistent id. */
  readonly loadPersistent: (id: unknown) => unknown;
}

/** The stack and the memo of a pickle: what its opcodes work on. */
export class PickleMachine {
  private stack: unknown[] = [];
  private readonly marks: unknown[][] = [];
  private readonly memo = new Map<number, unknown>();
  private objects = 0;
  private copied = 0;

  constructor(readonly host: PickleHost) {}

  push(value: unknown): void {
    this.stack.push(value);
  }

  /** Pushes a newly allocated value. */
  make(value: unknown): void {
    this.count();
    this.stack.push(value);
  }

  private count(): void {
    this.objects += 1;
    if (this.objects > limits.objects) exceeded('objects', limits.objects);
  }

  top(): unknown {
    if (this.stack.length === 0)
      throw new PickleProblem('its pickle uses a value that does not exist');
    return this.stack[this.stack.length - 1];
  }

  pop(): unknown {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  popMany(count: number): unknown[] {
    if (this.stack.length < count)
      throw new PickleProblem('its pickle uses values that do not exist');
    return this.stack.splice(-count, count);
  }

  /** Starts a literal. */
  mark(): void {
    if (this.marks.length >= limits.marks) exceeded('nested levels', limits.marks);
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

  /** Stores the top value in the memo; without an index, under the next free one. */
  remember(index = this.memo.size): void {
    this.memo.set(index, this.top());
    if (this.memo.size > limits.memo) exceeded('remembered values', limits.memo);
  }

  recall(index: number): void {
    if (!this.memo.has(index))
      throw new PickleProblem(`its pickle has no remembered value ${index}`);
    this.push(this.memo.get(index));
  }

  /** Pushes a name of Python: of the allow-list, or only its text. */
  pushGlobal(module: string, name: string): void {
    const found = this.host.findGlobal(module, name);
    if (isForeign(found)) this.make(found);
    else this.push(found);
  }

  append(items: readonly unknown[]): void {
    const list = this.top();
    if (list instanceof ForeignObject) {
      this.give(list, items);
      return;
    }
    if (!Array.isArray(list))
      throw new PickleProblem('its pickle appends to something that is not a list');
    for (const item of items) list.push(item);
  }

  setItems(items: readonly unknown[]): void {
    const top = this.top();
    const isObject = top instanceof ForeignObject;
    if (!(isObject || top instanceof Map) || items.length % 2 !== 0) {
      throw new PickleProblem('its pickle sets items of something that is not a dictionary');
    }
    const map = isObject ? new Map<unknown, unknown>() : top;
    if (isObject) this.give(top, map);
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  }

  /** Hands an inert object what its class would be given. */
  give(object: ForeignObject, value: unknown): void {
    this.count();
    object.given.push(value);
  }

  /** What a call builds: plain data for a constructor of the allow-list, an inert object for any other. */
  construct(callee: unknown, args: unknown): void {
    const isCallable = callee instanceof Global || isForeign(callee);
    if (!isCallable || !(args instanceof Tuple)) {
      throw new PickleProblem('its pickle calls something that is not a constructor', 'unsafe');
    }
    if (isForeign(callee)) this.make(foreignCall(callee, args.items));
    else if (callee.build) this.make(callee.build(args.items, this.charge));
    else this.make(new ForeignObject(callee.name, [args.items]));
  }

  private readonly charge = (bytes: number): void => {
    this.copied += bytes;
    if (this.copied > limits.copies) exceeded('copied bytes', limits.copies);
  };
}

/** Throws the error of a pickle that exceeds a limit. */
export function exceeded(what: string, limit: number): never {
  throw new PickleProblem(`its pickle has more than ${limit} ${what}`);
}
