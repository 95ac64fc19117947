import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { run } from '../../lib/cli/program.js';

const root = join(__dirname, '../..');

/** How a command ended and what it wrote. */
export interface CommandEnd {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command in this process: fast, for tests that need no separate process. */
export async function command(...argv: string[]): Promise<CommandEnd> {
  let stdout = '';
  let stderr = '';
  const status = await run(argv, {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
  });
  return { status, stdout, stderr };
}

/** A command in its own process. */
export interface Child {
  readonly process: ChildProcess;
  readonly end: Promise<CommandEnd & { readonly signal: NodeJS.Signals | null }>;
  /** Settles when standard output has contained `text`. */
  readonly saw: (text: string) => Promise<void>;
}

/** Runs the command as a process. */
export function startChild(...argv: string[]): Child {
  const child = spawn(process.execPath, ['-r', 'tsx/cjs', join(root, 'lib/cli/main.ts'), ...argv], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  let stdout = '';
  let stderr = '';
  let changed: () => void = () => undefined;
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
    changed();
  });
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk));
  let ended = false;
  const end = new Promise<Awaited<Child['end']>>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status, signal) => {
      ended = true;
      changed();
      resolve({ status, signal, stdout, stderr });
    });
  });
  const saw = async (text: string): Promise<void> => {
    while (!stdout.includes(text)) {
      if (ended) throw new Error(`ended without '${text}': ${stdout}${stderr}`);
      await new Promise<void>((resolve) => (changed = resolve));
    }
  };
  return { process: child, end, saw };
}

/** The objects of JSON lines; anything else among them throws. */
export function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}
