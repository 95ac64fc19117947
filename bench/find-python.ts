import { execFile } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { root } from './paths.js';

/** A Python that has PyTorch, with the details of that PyTorch. */
export interface TorchPython {
  /** The program. */
  readonly path: string;
  /** Environment variables it runs best with: instruction set, allocator. */
  readonly env: Readonly<Record<string, string>>;
  readonly description: TorchDescription;
}

/** The output of `twin.py --describe`. */
export interface TorchDescription {
  readonly python: string;
  readonly torch: string;
  readonly torchvision: string | null;
  /** Folder of the package. */
  readonly location: string;
  readonly oneDNN: string | null;
  readonly mkl: boolean;
  readonly blas: string | null;
  readonly isa: string | null;
  /** `libc`, or the library that replaces its malloc. */
  readonly allocator: string;
  /** Whether it has torch.compile. */
  readonly compile: boolean;
  /** The first GPU that it sees; null without one. */
  readonly cuda: {
    readonly name: string;
    /** Version of CUDA it was built with. */
    readonly cuda: string;
    readonly cudnn: number;
  } | null;
}

/** PyTorch's side of the benchmark. */
export const twin = join(root, 'bench', 'pytorch', 'twin.py');

const run = promisify(execFile);
const executable = process.platform === 'win32' ? 'python.exe' : 'python3';
/** Found by the dynamic linker where it is installed; it speeds up PyTorch's large tensors a lot. */
const tcmalloc = 'libtcmalloc_minimal.so.4';

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Programs to try, without repetition: COUNTENANCE_BENCH_PYTHON (a list), PYTHON, PATH, the system's. */
function candidates(): string[] {
  const { COUNTENANCE_BENCH_PYTHON: list = '', PYTHON: one = '', PATH = '' } = process.env;
  const onPath = PATH.split(delimiter).map((folder) => join(folder, executable));
  const all = [...list.split(delimiter), one, ...onPath, '/usr/bin/python3'];
  return [...new Set(all.filter(Boolean))].filter((path) => path === one || isExecutable(path));
}

function hasAvx512(): boolean {
  try {
    const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
    return ['avx512f', 'avx512dq', 'avx512bw', 'avx512vl'].every((flag) => flags.includes(flag));
  } catch {
    return false;
  }
}

async function describe(
  path: string,
  env: Readonly<Record<string, string>>,
): Promise<TorchDescription> {
  const { stdout } = await run(path, [twin, '--describe'], {
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1', ...env },
    timeout: 120_000,
  });
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as TorchDescription;
}

async function inspect(path: string): Promise<TorchPython | undefined> {
  const env: Record<string, string> = { PYTHONDONTWRITEBYTECODE: '1' };
  // PyTorch 1.13 uses AVX2 for its own kernels unless told otherwise.
  if (hasAvx512() && process.env['ATEN_CPU_CAPABILITY'] === undefined) {
    env['ATEN_CPU_CAPABILITY'] = 'avx512';
  }
  let description: TorchDescription;
  try {
    description = await describe(path, env);
  } catch {
    return undefined; // no torch, or none that starts
  }
  if (process.platform === 'linux' && description.allocator === 'libc') {
    const preload = [tcmalloc, process.env['LD_PRELOAD']].filter(Boolean).join(':');
    try {
      const faster = await describe(path, { ...env, LD_PRELOAD: preload });
      if (faster.allocator !== 'libc') {
        return { path, env: { ...env, LD_PRELOAD: preload }, description: faster };
      }
    } catch {
      // It does not start with that allocator, so it keeps libc's.
    }
  }
  return { path, env, description };
}

/** Every Python with PyTorch on this machine, each installation of PyTorch once. */
export async function findPythons(): Promise<TorchPython[]> {
  const found = await Promise.all(candidates().map(inspect));
  const places = new Set<string>();
  return found.filter((python): python is TorchPython => {
    if (!python || places.has(python.description.location)) return false;
    places.add(python.description.location);
    return true;
  });
}
