import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { root } from '../../paths.js';
import { releaseFolder, run, type Context, type Outcome, type Part } from '../part.js';
import { architectureOf } from '../platform.js';

export interface BuildResult {
  readonly architectures: string;
  readonly pluginBytes: number;
  readonly seconds: number;
}

/** What the other parts need: the addon, the plugin, the test programs. */
const targets = ['countenance', 'countenance_cuda', 'cuda_gpu_programs'];

/** The files they leave in {@link releaseFolder}; fragments may come from a machine that is gone. */
const files = [
  ...['countenance.node', 'countenance_cuda.so', 'cuda_gpu_tests', 'cuda_gpu_op_tests'],
  ...['cuda_gpu_golden_tests', 'record_ptx'],
];

/** Folders of the headers that cmake-js would have found. */
function headers(): string {
  const from = createRequire(__filename);
  const { include_dir: node } = from('node-api-headers') as { include_dir: string };
  const { include_dir: wrapper } = from('node-addon-api') as { include_dir: string };
  return [node, wrapper].join(';');
}

/** The first lines of a log that report an error. */
function firstError(log: string): string {
  const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n') : [];
  const error = lines.find((line) => /error|fatal|not found|No such/i.test(line));
  return (error ?? lines.filter(Boolean).at(-1) ?? 'no output').trim();
}

async function build(context: Context): Promise<Outcome<BuildResult>> {
  const { platform, allArchitectures } = context;
  const own = architectureOf(platform.card);
  const configure = [
    ...['-S', root, '-B', context.build],
    '-DCMAKE_BUILD_TYPE=Release',
    '-DCOUNTENANCE_CUDA=ON',
    `-DCMAKE_JS_INC=${headers()}`,
    `-DCUDA_TEST_ARCHITECTURES=${own}`,
    // If unset, the option defaults to what the package ships.
    ...(allArchitectures ? ['-UCUDA_ARCHITECTURES'] : [`-DCUDA_ARCHITECTURES=${own}`]),
  ];
  const compile = ['--build', context.build, '-j', String(availableParallelism())];
  const started = performance.now();
  for (const [log, args] of [
    ['configure', configure],
    ['build', [...compile, '--target', ...targets]],
  ] as const) {
    const ended = await run(context, 'cmake', args, { limit: 3600, log });
    if (ended.status === 0) continue;
    const why = ended.problem ?? firstError(join(context.build, 'logs', `${log}.log`));
    return { status: 'failed', reason: `cmake (${log}): ${why}` };
  }
  const plugin = join(releaseFolder, 'countenance_cuda.so');
  if (!existsSync(plugin)) {
    return { status: 'failed', reason: 'nvcc was not found, so that there is no plugin' };
  }
  return {
    status: 'passed',
    result: {
      architectures: allArchitectures ? 'all' : own,
      pluginBytes: statSync(plugin).size,
      seconds: (performance.now() - started) / 1e3,
    },
  };
}

export const buildPart: Part<BuildResult> = {
  name: 'build',
  what: 'the addon, the plugin for this card, the test programs',
  seconds: 240,
  isHere: () => files.every((name) => existsSync(join(releaseFolder, name))),
  run: build,
};
