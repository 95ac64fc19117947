import { nextTurn } from '../../turns.js';
import { ByteCursor } from './byte-cursor.js';
import { instructions } from './instructions.js';
import { exceeded, PickleMachine, type PickleHost } from './machine.js';
import { opcodes as op } from './opcodes.js';
import { PickleProblem } from './values.js';

/** Largest pickle that is read, 64 MiB: a state dict takes about 150 bytes per tensor. */
export const pickleLimit = 1 << 26;

/** Maximum number of opcodes in one pickle; about a thousand times what a state dict needs. */
const stepLimit = 1 << 24;

/** Opcodes between two turns of the event loop: about 2 ms. */
const stepsPerTurn = 1 << 14;

/**
 * Reads the pickle at `start` of `bytes` up to its STOP, and returns where it ends. Only inert values are
 * built: no Python name is ever looked up outside the host's allow-list, and what a listed name builds is
 * plain data. Nothing in the file is executed.
 *
 * Reference: Lib/pickletools.py of CPython, which documents each opcode.
 */
export async function unpickle(
  bytes: Uint8Array,
  start: number,
  host: PickleHost,
): Promise<{ readonly value: unknown; readonly end: number }> {
  const cursor = new ByteCursor(bytes, start);
  const machine = new PickleMachine(host);
  for (let steps = 1; ; steps++) {
    const code = cursor.byte();
    if (code === op.STOP) return { value: machine.pop(), end: cursor.position };
    const instruction = instructions.get(code) ?? unknown(code, cursor.position - 1);
    instruction(machine, cursor);
    if (steps > stepLimit) exceeded('steps', stepLimit);
    if (steps % stepsPerTurn === 0) await nextTurn();
  }
}

function unknown(code: number, offset: number): never {
  throw new PickleProblem(
    `its pickle has the opcode 0x${code.toString(16)} at byte ${offset}, which no PyTorch file needs`,
  );
}
