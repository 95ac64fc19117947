import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { builtPluginFolder } from '../cuda-plugin.js';
import { CountenanceError, isAbortOf, messageOf } from '../errors.js';
import { BuildFailure, buildCudaPlugin, defaultJobs } from './cuda-build.js';
import { checkTools, presentArchitectures } from './cuda-tools.js';
import { Interrupt } from './interrupt.js';
import { addJsonOption, examples, exitStatus, wholeNumber } from './options.js';
import { Output, type Context } from './output.js';
import { duration } from './progress.js';
import { checkWritableDirectory } from './writable.js';

interface BuildArguments {
  readonly architectures?: 'native' | 'all' | readonly string[];
  readonly jobs?: number;
  readonly out?: string;
  readonly json?: boolean;
}

/** `countenance build --cuda`. */
export function addBuildCommand(program: Command, { streams, finish }: Context): void {
  const command = program
    .command('build')
    .summary('build the CUDA plugin for GPUs from source')
    .description(
      'Compiles the CUDA plugin, which this package holds as source code, with the nvcc (CUDA 12.8 or ' +
        'later), cmake and g++ found on PATH, and puts it where every installation of this version ' +
        'of countenance finds it: ~/.cache/countenance (or $XDG_CACHE_HOME/countenance). Takes ' +
        'minutes. Linux on x64 only.',
    )
    .requiredOption('--cuda', 'build the CUDA plugin')
    .option(
      '--architectures <list>',
      'what to compile for: native (the GPUs of this machine), all (compute capability 8.0 and later), ' +
        'or names such as 80,89,90a (default: native where there is a GPU, else all)',
      parseArchitectures,
    )
    .option('--jobs <n>', 'compilers at once (default: one a core)', wholeNumber(1, 1024))
    .option(
      '--out <dir>',
      'another folder for the plugin; the environment variable COUNTENANCE_CUDA_PLUGIN has to name the ' +
        'file then',
    );
  addJsonOption(command).addHelpText(
    'after',
    examples(
      'countenance build --cuda',
      'countenance build --cuda --architectures 80,90a --jobs 4',
      'countenance build --cuda --architectures all --out /opt/countenance',
    ),
  );
  command.action(async (options: BuildArguments) => {
    finish(await build(options, new Output(streams, options.json ?? false)));
  });
}

async function build(options: BuildArguments, output: Output): Promise<number> {
  const started = performance.now();
  if (`${process.platform}-${process.arch}` !== 'linux-x64') {
    const here = `${process.platform}-${process.arch}`;
    throw new CountenanceError('ERR_UNSUPPORTED', `The CUDA plugin needs linux-x64, not ${here}`);
  }
  await checkTools();
  const architectures = await chooseArchitectures(options.architectures);
  const out = await writableFolder(options.out);
  const names = architectures.length > 0 ? architectures.join(', ') : 'all architectures';
  using interrupt = new Interrupt(() => output.note('stopping ...'));
  const { signal } = interrupt;
  output.note(`building the CUDA plugin for ${names}, which takes minutes`);
  try {
    const file = await buildCudaPlugin({
      architectures,
      jobs: options.jobs ?? defaultJobs(),
      out,
      signal,
      onProgress: (step, progress) =>
        output.progress.update(() => {
          const time = duration((performance.now() - started) / 1000);
          return [step, progress, time].filter(Boolean).join('  ');
        }),
    });
    const seconds = (performance.now() - started) / 1000;
    const { size } = await stat(file);
    output.record({ file, architectures, bytes: size, seconds });
    output.text(`${file}: ${(size / 1e6).toFixed(1)} MB, built in ${duration(seconds)}`);
    output.text(
      options.out === undefined
        ? '`countenance info` tells whether a GPU can be used now.'
        : `Set COUNTENANCE_CUDA_PLUGIN=${file} to use it.`,
    );
    return exitStatus.done;
  } catch (error) {
    if (error instanceof BuildFailure) output.note(error.tail);
    if (!isAbortOf(signal, error)) throw error;
    output.note('stopped');
    return interrupt.status;
  }
}

/** Names for CMake; without names it uses its defaults. */
async function chooseArchitectures(
  given: BuildArguments['architectures'],
): Promise<readonly string[]> {
  if (given === 'all') return [];
  if (given !== undefined && given !== 'native') return given;
  const present = await presentArchitectures();
  if (given === 'native' && present.length === 0) {
    throw new CountenanceError(
      'ERR_BUILD',
      'nvidia-smi tells of no GPU on this machine: name --architectures, such as 80 or all',
    );
  }
  const usable = present.filter((name) => Number.parseInt(name) >= 80);
  if (present.length > 0 && usable.length === 0) {
    throw new CountenanceError(
      'ERR_UNSUPPORTED',
      `The GPU of this machine has compute capability ${Number.parseInt(present[0]!) / 10}, but 8.0 is the ` +
        'least that works; name --architectures to build for another machine',
    );
  }
  return usable;
}

async function writableFolder(given: string | undefined): Promise<string> {
  const folder = given === undefined ? builtPluginFolder() : resolve(given);
  if (folder === undefined) {
    throw new CountenanceError('ERR_WRITE', 'There is no home directory: name a folder with --out');
  }
  try {
    await checkWritableDirectory(folder);
    return folder;
  } catch (error) {
    if (given !== undefined) throw error;
    throw new CountenanceError('ERR_WRITE', `${messageOf(error)}; --out names another folder`, {
      cause: error,
    });
  }
}

function parseArchitectures(text: string): BuildArguments['architectures'] {
  if (text === 'native' || text === 'all') return text;
  const names = text.split(/[,;]/).map((name) => name.trim());
  const known = (name: string): boolean =>
    /^\d{2,3}[af]?(-real|-virtual)?$/.test(name) && Number.parseInt(name) >= 80;
  if (names.every(known)) return names;
  throw new InvalidArgumentError('Expected native, all, or names from 80 on such as 80,89,90a.');
}
