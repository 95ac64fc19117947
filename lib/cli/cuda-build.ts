import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { packageFile } from '../binding.cjs';
import { cudaPluginName } from '../cuda-plugin.js';
import { CountenanceError, throwIfAborted } from '../errors.js';
import { writeFileAtomic } from '../weights/atomic.js';

/** How the plugin is built. */
export interface CudaBuild {
  /** As CMAKE_CUDA_ARCHITECTURES; empty: those of a published plugin. */
  readonly architectures: readonly string[];
  readonly jobs: number;
  /** Folder for the plugin; must exist. */
  readonly out: string;
  readonly signal: AbortSignal;
  /** The current step and its progress: "compiling", "40%", or "" if unknown. */
  readonly onProgress: (step: string, progress: string) => void;
}

/** Lines of a failed compiler's output that are worth showing. */
const tailLines = 30;

/** The output of a failed step. */
export class BuildFailure extends CountenanceError {
  constructor(
    step: string,
    /** The end of the output. */
    readonly tail: string,
    reason: string,
  ) {
    super('ERR_BUILD', `The CUDA plugin could not be built: ${step} failed: ${reason}`);
  }
}

/** One job per core, but no more than fit in memory at 1.5 GB per compiler. */
export function defaultJobs(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / 1.5e9)));
}

/**
 * Builds the plugin from the native sources of this package.
 *
 * @returns the plugin's file in `out`
 * @throws CountenanceError ERR_BUILD, ERR_WRITE, ERR_ABORTED
 */
export async function buildCudaPlugin(options: CudaBuild): Promise<string> {
  const { architectures, jobs, out, signal, onProgress } = options;
  const sources = dirname(packageFile);
  if (!existsSync(join(sources, 'tools/cuda-plugin.cmake'))) {
    throw new CountenanceError('ERR_BUILD', `'${sources}' lacks the sources of the CUDA plugin`);
  }
  const folder = await mkdtemp(join(tmpdir(), 'countenance-cuda-'));
  try {
    const step = (name: string, args: readonly string[]): Promise<void> =>
      cmake(name, args, signal, (progress) => onProgress(name, progress));
    // When nvcc is named, CMake does not search for it, so the error says what is wrong with it.
    await step('configuring', [
      ...['-S', sources, '-B', folder, '-G', 'Unix Makefiles', '-DCMAKE_BUILD_TYPE=Release'],
      ...['-DCOUNTENANCE_CUDA=ON', '-DWERROR=OFF', '-DCMAKE_CUDA_COMPILER=nvcc'],
      ...(architectures.length > 0 ? [`-DCUDA_ARCHITECTURES=${architectures.join(';')}`] : []),
    ]);
    await step('compiling', [
      ...['--build', folder, '--target', 'countenance_cuda', '--parallel', String(jobs)],
    ]);
    const file = join(out, cudaPluginName);
    await writeFileAtomic(file, await readFile(join(folder, 'Release', cudaPluginName)));
    return file;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Runs cmake in its own process group, so that `signal` ends all of it. */
function cmake(
  step: string,
  args: readonly string[],
  signal: AbortSignal,
  onProgress: (progress: string) => void,
): Promise<void> {
  throwIfAborted(signal, 'The build');
  onProgress('');
  const child = spawn('cmake', args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
    } catch {
      // It has just ended by itself.
    }
  };
  signal.addEventListener('abort', end);
  let output = '';
  const collect = (text: string): void => {
    output += text;
    const last = [...text.matchAll(/\[\s*(\d+%)\]/g)].at(-1)?.[1];
    if (last !== undefined) onProgress(last);
  };
  child.stdout.setEncoding('utf8').on('data', collect);
  child.stderr.setEncoding('utf8').on('data', collect);
  return new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, by) => {
      if (status === 0) resolve();
      else if (signal.aborted) reject(new CountenanceError('ERR_ABORTED', 'The build was stopped'));
      else reject(new BuildFailure(step, tailOf(output), reasonOf(output, status, by)));
    });
  }).finally(() => signal.removeEventListener('abort', end));
}

function tailOf(output: string): string {
  return output.trimEnd().split('\n').slice(-tailLines).join('\n');
}

/** The first line that a compiler marks as an error; CMake's explanation is on the next line. */
function reasonOf(output: string, status: number | null, by: string | null): string {
  const lines = output.split('\n').map((line) => line.trim());
  const first = lines.findIndex((line) => /\b(fatal|error)\b/i.test(line));
  if (first < 0) return by === null ? `cmake ended with status ${status}` : `cmake got ${by}`;
  const more = /^CMake Error.*:$/.test(lines[first]!) ? lines.slice(first + 1).find(Boolean) : '';
  return [lines[first], more].filter(Boolean).join(' ');
}
