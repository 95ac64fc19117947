import { setImmediate } from 'node:timers/promises';
import { ByteCursor, toInteger } from './byte-cursor.js';
import { opcodes as op } from './opcodes.js';
import { Attributes, Global, PickleProblem, quote, Tuple } from './values.js';

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
    private readonly host: PickleHost,
  ) {
    this.cursor = new ByteCursor(bytes, start);
  }

  /** Runs to STOP; also says where the pickle ends. */
  async run(): Promise<{ readonly value: unknown; readonly end: number }> {
    for (;;) {
      const code = this.cursor.byte();
      if (code === op.STOP) return { value: this.pop(), end: this.cursor.position };
      this.step(code);
      this.steps += 1;
      if (this.steps > limits.steps) this.exceeded('steps', limits.steps);
      if (this.steps % stepsPerTurn === 0) await setImmediate();
    }
  }

  private step(code: number): void {
    const { cursor } = this;
    switch (code) {
      case op.PROTO: {
        const protocol = cursor.byte();
        if (protocol > 5) throw new PickleProblem(`pickle protocol ${protocol} is unknown`);
        return;
      }
      case op.FRAME:
        cursor.uint64();
        return;

      case op.MARK:
        if (this.marks.length >= limits.marks) this.exceeded('nested levels', limits.marks);
        this.marks.push(this.stack);
        this.stack = [];
        return;
      case op.POP:
        if (this.stack.length > 0) this.pop();
        else this.popMark();
        return;
      case op.POP_MARK:
        this.popMark();
        return;
      case op.DUP:
        return this.push(this.top());

      case op.NONE:
        return this.push(null);
      case op.NEWTRUE:
        return this.push(true);
      case op.NEWFALSE:
        return this.push(false);
      case op.BININT:
        return this.push(cursor.int32());
      case op.BININT1:
        return this.push(cursor.byte());
      case op.BININT2:
        return this.push(cursor.uint16());
      case op.LONG1:
        return this.push(cursor.integer(cursor.byte()));
      case op.LONG4:
        return this.push(cursor.integer(cursor.int32()));
      case op.BINFLOAT:
        return this.push(cursor.float64());
      case op.INT:
        return this.push(parseInt10(cursor.line()));
      case op.LONG:
        return this.push(parseInt10(cursor.line().replace(/L$/, '')));
      case op.FLOAT:
        return this.push(parseFloat10(cursor.line()));

      case op.BINUNICODE:
        return this.make(cursor.utf8(cursor.uint32()));
      case op.SHORT_BINUNICODE:
        return this.make(cursor.utf8(cursor.byte()));
      case op.BINUNICODE8:
        return this.make(cursor.utf8(cursor.uint64()));
      case op.BINSTRING: // Python 2's str: text or bytes, kept byte for byte
        return this.make(cursor.latin1(cursor.uint32()));
      case op.SHORT_BINSTRING:
        return this.make(cursor.latin1(cursor.byte()));
      case op.BINBYTES:
        return this.make(cursor.take(cursor.uint32()));
      case op.SHORT_BINBYTES:
        return this.make(cursor.take(cursor.byte()));
      case op.BINBYTES8:
      case op.BYTEARRAY8:
        return this.make(cursor.take(cursor.uint64()));

      case op.EMPTY_LIST:
      case op.EMPTY_SET:
        return this.make([]);
      case op.EMPTY_DICT:
        return this.make(new Map());
      case op.EMPTY_TUPLE:
        return this.make(new Tuple([]));
      case op.TUPLE1:
        return this.make(new Tuple(this.popMany(1)));
      case op.TUPLE2:
        return this.make(new Tuple(this.popMany(2)));
      case op.TUPLE3:
        return this.make(new Tuple(this.popMany(3)));
      case op.TUPLE:
        return this.make(new Tuple(this.popMark()));
      case op.LIST:
      case op.FROZENSET:
        return this.make(this.popMark());
      case op.DICT: {
        const items = this.popMark();
        this.make(new Map());
        return this.setItems(items);
      }

      case op.APPEND:
        return this.append([this.pop()]);
      case op.APPENDS:
      case op.ADDITEMS:
        return this.append(this.popMark());
      case op.SETITEM:
        return this.setItems(this.popMany(2));
      case op.SETITEMS:
        return this.setItems(this.popMark());

      case op.PUT:
        return this.remember(Number(cursor.line()));
      case op.BINPUT:
        return this.remember(cursor.byte());
      case op.LONG_BINPUT:
        return this.remember(cursor.uint32());
      case op.MEMOIZE:
        return this.remember(this.memo.size);
      case op.GET:
        return this.recall(Number(cursor.line()));
      case op.BINGET:
        return this.recall(cursor.byte());
      case op.LONG_BINGET:
        return this.recall(cursor.uint32());

      case op.GLOBAL:
        return this.push(this.host.findGlobal(cursor.line(), cursor.line()));
      case op.STACK_GLOBAL: {
        const [module, name] = this.popMany(2);
        if (typeof module !== 'string' || typeof name !== 'string') {
          throw new PickleProblem('its pickle names a global by something other than text');
        }
        return this.push(this.host.findGlobal(module, name));
      }
      case op.REDUCE:
      case op.NEWOBJ: {
        const [callee, args] = this.popMany(2);
        return this.construct(callee, args);
      }
      case op.NEWOBJ_EX: {
        const [callee, args, keywords] = this.popMany(3);
        if (!(keywords instanceof Map) || keywords.size > 0) {
          throw new PickleProblem('its pickle constructs an object by keywords');
        }
        return this.construct(callee, args);
      }
      case op.BUILD: {
        const state = this.pop();
        return setState(this.top(), state);
      }
      case op.BINPERSID:
        return this.make(this.host.loadPersistent(this.pop()));

      default:
        throw new PickleProblem(
          `its pickle has the opcode 0x${code.toString(16)} at byte ${cursor.position - 1}, ` +
            'which no PyTorch file needs',
        );
    }
  }

  private exceeded(what: string, limit: number): never {
    throw new PickleProblem(`its pickle has more than ${limit} ${what}`);
  }

  private push(value: unknown): void {
    this.stack.push(value);
  }

  /** Pushes a value that takes memory of its own. */
  private make(value: unknown): void {
    this.objects += 1;
    if (this.objects > limits.objects) this.exceeded('objects', limits.objects);
    this.stack.push(value);
  }

  private top(): unknown {
    if (this.stack.length === 0) throw new PickleProblem('its pickle uses a value that is not there');
    return this.stack[this.stack.length - 1];
  }

  private pop(): unknown {
    const value = this.top();
    this.stack.pop();
    return value;
  }

  private popMany(count: number): unknown[] {
    if (this.stack.length < count) throw new PickleProblem('its pickle uses values that are not there');
    return this.stack.splice(-count, count);
  }

  /** The values since the last MARK. */
  private popMark(): unknown[] {
    const items = this.stack;
    const below = this.marks.pop();
    if (!below) throw new PickleProblem('its pickle closes what was never opened');
    this.stack = below;
    return items;
  }

  private remember(index: number): void {
    this.memo.set(index, this.top());
    if (this.memo.size > limits.memo) this.exceeded('remembered values', limits.memo);
  }

  private recall(index: number): void {
    if (!this.memo.has(index)) throw new PickleProblem(`its pickle has no remembered value ${index}`);
    this.push(this.memo.get(index));
  }

  private append(items: readonly unknown[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw new PickleProblem('its pickle appends to something that is no list');
    for (const item of items) list.push(item);
  }

  private setItems(items: readonly unknown[]): void {
    const map = this.top();
    if (!(map instanceof Map) || items.length % 2 !== 0) {
      throw new PickleProblem('its pickle sets items of something that is no dictionary');
    }
    for (let i = 0; i < items.length; i += 2) map.set(items[i], items[i + 1]);
  }

  private construct(callee: unknown, args: unknown): void {
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

/** A value that takes a state of its own in BUILD. */
interface Stateful {
  setState(state: unknown): void;
}

/** BUILD: attributes of dictionaries (`_metadata` of a state dict) are of no use here and are dropped. */
function setState(value: unknown, state: unknown): void {
  if (value instanceof Attributes) {
    if (!(state instanceof Map)) throw new PickleProblem('an object has attributes without names');
    for (const [name, attribute] of state) value.set(name, attribute);
  } else if (typeof value === 'object' && value !== null && 'setState' in value) {
    (value as Stateful).setState(state);
  } else if (!(value instanceof Map)) {
    throw new PickleProblem('its pickle sets the state of something that has none');
  }
}

function parseInt10(text: string): number | bigint | boolean {
  if (text === '01') return true;
  if (text === '00') return false;
  if (!/^-?\d{1,400}$/.test(text)) throw new PickleProblem(`its pickle has the integer ${quote(text)}`);
  return toInteger(BigInt(text));
}

function parseFloat10(text: string): number {
  const value = Number(text.replace(/^(-?)inf$/, '$1Infinity'));
  if (text.trim() === '' || (Number.isNaN(value) && text !== 'nan')) {
    throw new PickleProblem(`its pickle has the number ${quote(text)}`);
  }
  return value;
}
