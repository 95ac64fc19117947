import assert from 'node:assert/strict';
import { Gate } from '../../lib/model/gate.js';

describe('2 Gate', () => {
  it('lets jobs run together, and copies alone, in order', async () => {
    const gate = new Gate();
    const log: string[] = [];
    const work = (name: string) => async (): Promise<void> => {
      log.push(`+${name}`);
      await new Promise(setImmediate);
      log.push(`-${name}`);
    };
    assert.equal(gate.busy, false);
    const all = [
      gate.beside(work('a')),
      gate.beside(work('b')),
      gate.alone(work('C')),
      gate.beside(work('d')),
      gate.alone(work('E')),
    ];
    assert.equal(gate.busy, true);
    await Promise.all(all);
    assert.deepEqual(log, ['+a', '+b', '-a', '-b', '+C', '-C', '+d', '-d', '+E', '-E']);
    assert.equal(gate.busy, false);
  });

  it('opens again after a failure', async () => {
    const gate = new Gate();
    const fail = (): Promise<never> => Promise.reject(new Error('no'));
    await assert.rejects(gate.alone(fail));
    await assert.rejects(gate.beside(fail));
    await gate.idle();
    assert.equal(gate.busy, false);
  });
});
