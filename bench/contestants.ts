import { join } from 'node:path';
import type { Contestant } from './contestant.js';
import { twin, type TorchPython } from './find-python.js';

/** countenance through its public API, in a process of its own. */
export function ourContestant(): Contestant {
  return {
    name: 'countenance',
    command: process.execPath,
    args: ['-r', 'ts-node/register/transpile-only', join(__dirname, 'ours.ts')],
    env: { TS_NODE_PROJECT: join(__dirname, '..', 'tsconfig.json') },
    variant: 'eager',
    informational: false,
  };
}

/** A short name that tells two installations apart. */
export function nameOfTorch({ description }: TorchPython): string {
  return `PyTorch ${description.torch.replace(/[+].*$/, '')}`;
}

/**
 * Every way in which PyTorch can do a task: plainly, compiled or traced where that is possible, and with
 * bf16 autocast, which is another precision and only shown.
 */
export function torchContestants(
  python: TorchPython,
  task: 'train' | 'infer',
  threads: number,
  quick: boolean,
): Contestant[] {
  const variants: Contestant['variant'][] = ['eager'];
  if (!quick) {
    if (task === 'infer') variants.push('traced');
    if (python.description.compile) variants.push('compiled');
    variants.push('bf16');
  }
  return variants.map((variant) => ({
    name: nameOfTorch(python) + (variant === 'eager' ? '' : ` ${variant}`),
    command: python.path,
    args: [twin],
    env: { ...python.env, OMP_NUM_THREADS: String(threads) },
    variant,
    informational: variant === 'bf16',
  }));
}
