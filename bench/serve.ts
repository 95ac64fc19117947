import { createInterface } from 'node:readline';
import { messageOf } from '../lib/errors.js';
import type { Precision, Scenario } from './scenarios.js';

/** What a contestant is asked to build. */
export interface Setup extends Scenario {
  readonly threads: number;
  readonly precision: Precision;
}

/** A training step or a forward pass; resolves to its loss, or to the mean magnitude of its logits. */
export type Step = () => Promise<number>;

/** uint8 images (batch, size, size, 3) from a small congruential generator. */
export function noiseImages(batch: number, size: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length: batch * size * size * 3 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

/** The mean magnitude of some logits. */
export function meanMagnitude(logits: Float32Array): number {
  return logits.reduce((sum, x) => sum + Math.abs(x), 0) / logits.length;
}

async function timed(step: Step, count: number): Promise<object> {
  const seconds: number[] = [];
  let value = 0;
  const cpu = process.cpuUsage();
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    value = await step();
    seconds.push((performance.now() - start) / 1e3);
  }
  const { user, system } = process.cpuUsage(cpu);
  return { seconds, cpuSeconds: (user + system) / 1e6, value };
}

/**
 * Makes this process a contestant: answers the driver's requests, one line of JSON each, as
 * pytorch/twin.py does, until its input ends.
 */
export async function serve(setUp: (setup: Setup) => Promise<Step>): Promise<void> {
  let step: Step | undefined;
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as Setup & { readonly cmd: string };
    let answer: object;
    try {
      if (request.cmd === 'setup') {
        step = await setUp(request);
        await step(); // allocates and plans; not timed
        answer = { ready: true };
      } else if (request.cmd === 'run' && step) {
        answer = await timed(step, request.count);
      } else if (request.cmd === 'memory') {
        answer = { peakBytes: process.resourceUsage().maxRSS * 1024 };
      } else {
        throw new Error(`unexpected command '${request.cmd}'`);
      }
    } catch (error) {
      answer = { error: messageOf(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  // The models live until here; nothing is left to wait for.
  process.exit(0);
}
