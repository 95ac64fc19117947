import { toInteger, type ByteCursor } from './byte-cursor.js';
import { ForeignObject, isForeign } from './foreign.js';
import type { PickleMachine } from './machine.js';
import { opcodes as op } from './opcodes.js';
import { Attributes, PickleProblem, quote, Tuple } from './values.js';

/** What an opcode does to the machine; the cursor is at its arguments. */
type Instruction = (machine: PickleMachine, cursor: ByteCursor) => void;

/** Every supported opcode except STOP. */
export const instructions: ReadonlyMap<number, Instruction> = new Map<number, Instruction>([
  [op.PROTO, (_, cursor) => checkProtocol(cursor.byte())],
  [op.FRAME, (_, cursor) => void cursor.uint64()],
  [op.MARK, (machine) => machine.mark()],
  [op.POP, (machine) => machine.drop()],
  [op.POP_MARK, (machine) => void machine.popMark()],
  [op.DUP, (machine) => machine.push(machine.top())],

  [op.NONE, (machine) => machine.push(null)],
  [op.NEWTRUE, (machine) => machine.push(true)],
  [op.NEWFALSE, (machine) => machine.push(false)],
  [op.BININT, (machine, cursor) => machine.push(cursor.int32())],
  [op.BININT1, (machine, cursor) => machine.push(cursor.byte())],
  [op.BININT2, (machine, cursor) => machine.push(cursor.uint16())],
  [op.LONG1, (machine, cursor) => machine.push(cursor.integer(cursor.byte()))],
  [op.LONG4, (machine, cursor) => machine.push(cursor.integer(cursor.int32()))],
  [op.BINFLOAT, (machine, cursor) => machine.push(cursor.float64())],
  [op.INT, (machine, cursor) => machine.push(parseInteger(cursor.line()))],
  [op.LONG, (machine, cursor) => machine.push(parseInteger(cursor.line().replace(/L$/, '')))],
  [op.FLOAT, (machine, cursor) => machine.push(parseNumber(cursor.line()))],

  [op.BINUNICODE, (machine, cursor) => machine.make(cursor.utf8(cursor.uint32()))],
  [op.SHORT_BINUNICODE, (machine, cursor) => machine.make(cursor.utf8(cursor.byte()))],
  [op.BINUNICODE8, (machine, cursor) => machine.make(cursor.utf8(cursor.uint64()))],
  // Python 2's str: text or bytes, kept byte for byte.
  [op.BINSTRING, (machine, cursor) => machine.make(cursor.latin1(cursor.uint32()))],
  [op.SHORT_BINSTRING, (machine, cursor) => machine.make(cursor.latin1(cursor.byte()))],
  [op.BINBYTES, (machine, cursor) => machine.make(cursor.take(cursor.uint32()))],
  [op.SHORT_BINBYTES, (machine, cursor) => machine.make(cursor.take(cursor.byte()))],
  [op.BINBYTES8, (machine, cursor) => machine.make(cursor.take(cursor.uint64()))],
  [op.BYTEARRAY8, (machine, cursor) => machine.make(cursor.take(cursor.uint64()))],

  [op.EMPTY_LIST, (machine) => machine.make([])],
  [op.EMPTY_SET, (machine) => machine.make([])],
  [op.EMPTY_DICT, (machine) => machine.make(new Map())],
  [op.EMPTY_TUPLE, (machine) => machine.make(new Tuple([]))],
  [op.TUPLE1, (machine) => machine.make(new Tuple(machine.popMany(1)))],
  [op.TUPLE2, (machine) => machine.make(new Tuple(machine.popMany(2)))],
  [op.TUPLE3, (machine) => machine.make(new Tuple(machine.popMany(3)))],
  [op.TUPLE, (machine) => machine.make(new Tuple(machine.popMark()))],
  [op.LIST, (machine) => machine.make(machine.popMark())],
  [op.FROZENSET, (machine) => machine.make(machine.popMark())],
  [op.DICT, makeDictionary],

  [op.APPEND, (machine) => machine.append(machine.popMany(1))],
  [op.APPENDS, (machine) => machine.append(machine.popMark())],
  [op.ADDITEMS, (machine) => machine.append(machine.popMark())],
  [op.SETITEM, (machine) => machine.setItems(machine.popMany(2))],
  [op.SETITEMS, (machine) => machine.setItems(machine.popMark())],

  [op.PUT, (machine, cursor) => machine.remember(Number(cursor.line()))],
  [op.BINPUT, (machine, cursor) => machine.remember(cursor.byte())],
  [op.LONG_BINPUT, (machine, cursor) => machine.remember(cursor.uint32())],
  [op.MEMOIZE, (machine) => machine.remember()],
  [op.GET, (machine, cursor) => machine.recall(Number(cursor.line()))],
  [op.BINGET, (machine, cursor) => machine.recall(cursor.byte())],
  [op.LONG_BINGET, (machine, cursor) => machine.recall(cursor.uint32())],

  [op.GLOBAL, (machine, cursor) => pushGlobal(machine, cursor.line(), cursor.line())],
  [op.STACK_GLOBAL, (machine) => pushGlobal(machine, ...twoOf(machine.popMany(2)))],
  [op.REDUCE, (machine) => machine.construct(...twoOf(machine.popMany(2)))],
  [op.NEWOBJ, (machine) => machine.construct(...twoOf(machine.popMany(2)))],
  [op.NEWOBJ_EX, constructByKeywords],
  [op.OBJ, constructMarked],
  [op.INST, constructNamed],
  [op.BUILD, build],
  [op.BINPERSID, (machine) => machine.make(machine.host.loadPersistent(machine.pop()))],
]);

function checkProtocol(protocol: number): void {
  if (protocol > 5) throw new PickleProblem(`pickle protocol ${protocol} is unknown`);
}

function makeDictionary(machine: PickleMachine): void {
  const items = machine.popMark();
  machine.make(new Map());
  machine.setItems(items);
}

function twoOf([first, second]: readonly unknown[]): [unknown, unknown] {
  return [first, second];
}

function pushGlobal(machine: PickleMachine, module: unknown, name: unknown): void {
  if (typeof module !== 'string' || typeof name !== 'string') {
    throw new PickleProblem('its pickle names a global by something other than text');
  }
  machine.pushGlobal(module, name);
}

function constructByKeywords(machine: PickleMachine): void {
  const [callee, args, keywords] = machine.popMany(3);
  if (isForeign(callee)) {
    machine.construct(callee, args);
    machine.give(machine.top() as ForeignObject, keywords);
    return;
  }
  if (!(keywords instanceof Map) || keywords.size > 0) {
    throw new PickleProblem('its pickle constructs an object with keyword arguments');
  }
  machine.construct(callee, args);
}

/** An object of Python 2's old-style classes: the class and its arguments since the last mark. */
function constructMarked(machine: PickleMachine): void {
  const [callee, ...args] = machine.popMark();
  machine.construct(callee, new Tuple(args));
}

/** The same, with the class named by two lines. */
function constructNamed(machine: PickleMachine, cursor: ByteCursor): void {
  const [module, name] = [cursor.line(), cursor.line()];
  const args = machine.popMark();
  pushGlobal(machine, module, name);
  machine.construct(machine.pop(), new Tuple(args));
}

/** A value that accepts a state in BUILD. */
interface Stateful {
  setState(state: unknown): void;
}

/** Attributes of dictionaries (`_metadata` of a state dict) are not needed and are dropped. */
function build(machine: PickleMachine): void {
  const state = machine.pop();
  const value = machine.top();
  if (value instanceof ForeignObject) {
    machine.give(value, state);
  } else if (value instanceof Attributes) {
    if (!(state instanceof Map)) throw new PickleProblem('an object has attributes without names');
    for (const [name, attribute] of state) value.set(name, attribute);
  } else if (typeof value === 'object' && value !== null && 'setState' in value) {
    (value as Stateful).setState(state);
  } else if (!(value instanceof Map)) {
    throw new PickleProblem('its pickle sets the state of something that has no state');
  }
}

function parseInteger(text: string): number | bigint | boolean {
  if (text === '01') return true;
  if (text === '00') return false;
  if (!/^-?\d{1,400}$/.test(text))
    throw new PickleProblem(`its pickle has the integer ${quote(text)}`);
  return toInteger(BigInt(text));
}

function parseNumber(text: string): number {
  const value = Number(text.replace(/^(-?)inf$/, '$1Infinity'));
  if (text.trim() === '' || (Number.isNaN(value) && text !== 'nan')) {
    throw new PickleProblem(`its pickle has the number ${quote(text)}`);
  }
  return value;
}
