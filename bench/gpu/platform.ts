import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { version } from '../../lib/version.js';
import { describeMachine, type Machine } from '../machine.js';
import { root } from '../paths.js';

/** The first GPU, as reported by nvidia-smi. */
export interface Card {
  /** Such as `NVIDIA A100-SXM4-80GB`. */
  readonly name: string;
  readonly driver: string;
  /** Newest version of CUDA that the driver supports. */
  readonly driverCuda: string | null;
  readonly memoryBytes: number;
  /** Compute capability, such as `9.0`. */
  readonly capability: string;
  /** Highest clocks in MHz and the power limit in W; null if the driver does not report them. */
  readonly smClock: number | null;
  readonly memoryClock: number | null;
  readonly powerLimit: number | null;
}

/** What a part ran on. */
export interface Platform {
  readonly card: Card;
  readonly machine: Machine;
  /** Version of nvcc, such as `13.0.88`; null without one. */
  readonly nvcc: string | null;
  readonly compiler: string | null;
  readonly countenance: string;
  readonly commit: string;
}

/** Output of a program, or undefined if it is missing or fails. */
function output(command: string, ...args: string[]): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: 'utf8', cwd: root });
  return status === 0 ? stdout : undefined;
}

const fields = [
  'name',
  'driver_version',
  'memory.total',
  'compute_cap',
  'clocks.max.sm',
  'clocks.max.memory',
  'power.limit',
];

/** Why there is no card to measure. */
export class NoCardError extends Error {}

/** @throws NoCardError with the reason */
export function findCard(): Card {
  const query = [`--query-gpu=${fields.join(',')}`, '--format=csv,noheader,nounits', '-i', '0'];
  const { error, status, stdout, stderr } = spawnSync('nvidia-smi', query, { encoding: 'utf8' });
  if (error) throw new NoCardError('nvidia-smi was not found: there is no NVIDIA driver');
  const said = (stdout + stderr).trim().split('\n')[0] ?? '';
  if (status !== 0) throw new NoCardError(`nvidia-smi failed: ${said}`);
  const cells = said.split(',').map((cell) => cell.trim());
  const [name, driver, memory, capability, smClock, memoryClock, powerLimit] = cells;
  if (cells.length !== fields.length || !name || !driver || !/^\d+\.\d+$/.test(capability ?? '')) {
    throw new NoCardError(`nvidia-smi answered '${said}'`);
  }
  const number = (text: string | undefined) => (Number(text) > 0 ? Number(text) : null);
  return {
    name,
    driver,
    driverCuda: /CUDA Version: *([\d.]+)/.exec(output('nvidia-smi') ?? '')?.[1] ?? null,
    memoryBytes: (number(memory) ?? 0) * 2 ** 20,
    capability: capability!,
    smClock: number(smClock),
    memoryClock: number(memoryClock),
    powerLimit: number(powerLimit),
  };
}

/** The card's memory in use by all programs, in bytes; undefined if unknown. */
export function memoryInUse(): Promise<number | undefined> {
  const query = ['--query-gpu=memory.used', '--format=csv,noheader,nounits', '-i', '0'];
  const used = /^\d+/.exec(output('nvidia-smi', ...query) ?? '')?.[0];
  return Promise.resolve(used === undefined ? undefined : Number(used) * 2 ** 20);
}

/** The commit of the sources, even if only the files made by pack.sh came along. */
function commitOf(): string {
  const head = output('git', 'rev-parse', 'HEAD')?.trim();
  if (head) {
    // Does not count files that a run itself leaves behind.
    const own = [':!bench/results', ':!test/cuda/golden'];
    const changes = output('git', 'status', '--porcelain', '--', '.', ...own);
    return changes?.trim() ? `${head} with changes` : head;
  }
  const pack = join(root, 'build/gpu/tools/pack.json');
  if (!existsSync(pack)) return 'unknown';
  return (JSON.parse(readFileSync(pack, 'utf8')) as { commit: string }).commit;
}

export function describePlatform(card: Card): Platform {
  return {
    card,
    machine: describeMachine(),
    nvcc: /V([\d.]+)/.exec(output('nvcc', '--version') ?? '')?.[1] ?? null,
    compiler: output(process.env['CXX'] ?? 'c++', '--version')?.split('\n')[0] ?? null,
    countenance: version,
    commit: commitOf(),
  };
}

/**
 * The target for kernels that run on this card only, as CMAKE_CUDA_ARCHITECTURES.
 *
 * @throws NoCardError for a card that the kernels do not support
 */
export function architectureOf({ name, capability }: Card): string {
  const digits = capability.replace('.', '');
  if (Number(digits) < 80) {
    throw new NoCardError(`${name} has compute capability ${capability}; 8.0 is the least`);
  }
  // For Hopper the whole instruction set, which only it has.
  return digits === '90' ? '90a-real' : `${digits}-real`;
}
