import type { Command } from 'commander';
import {
  inspectDataset,
  type DatasetInfo,
  type DatasetProblem,
  type DuplicateImages,
} from '../data/inspect.js';
import type { ImageSize } from '../data/sizes.js';
import { isAbortOf } from '../errors.js';
import { Interrupt } from './interrupt.js';
import { addJsonOption, examples, exitStatus, specHelp, wholeNumber } from './options.js';
import { Output, type Context } from './output.js';
import { duration, rate } from './progress.js';
import { table } from './table.js';

interface InfoArguments {
  readonly list: number;
  readonly json?: boolean;
}

/** `countenance data info`. */
export function addDataCommand(program: Command, { streams, finish }: Context): void {
  const data = program.command('data').summary('check data sets before a long run');
  const command = data
    .command('info')
    .summary('count and check the images of data sets')
    .description(
      'Reads every image and prints counts by class and split, sizes, duplicates by content, and ' +
        'problems: missing files, labels out of range, images that cannot be read. Without a ' +
        'split, all splits are read.\nThe exit status is 1 where something is wrong; duplicates alone ' +
        'are no failure.',
    )
    .argument('<spec...>', 'data sets')
    .option('--list <n>', 'tell at most this many problems and duplicates', wholeNumber(0), 10);
  addJsonOption(command)
    .addHelpText('after', specHelp())
    .addHelpText(
      'after',
      examples('countenance data info rafdb:RAF-DB', 'countenance data info folder:faces --json'),
    );
  command.action(async (specs: string[], options: InfoArguments) => {
    finish(await inspect(specs, options, new Output(streams, options.json ?? false)));
  });
}

async function inspect(
  specs: readonly string[],
  { list }: InfoArguments,
  output: Output,
): Promise<number> {
  using interrupt = new Interrupt(() => output.note('stopping ...'));
  const { signal } = interrupt;
  let found = 0;
  try {
    for (const [i, spec] of specs.entries()) {
      if (output.closed) return exitStatus.unread;
      const started = performance.now();
      const info = await inspectDataset(spec, {
        signal,
        onProgress: ({ done, total }) =>
          output.progress.update(() => {
            const perSecond = (1000 * done) / Math.max(performance.now() - started, 1);
            const left = duration((total - done) / perSecond);
            return `${spec}: ${done}/${total} images  ${rate(perSecond)}  ${left} left`;
          }),
      });
      found += info.problems.length;
      output.record({ ...info });
      output.text(`${i > 0 ? '\n' : ''}${describeInfo(info, list)}`);
    }
  } catch (error) {
    if (!isAbortOf(signal, error)) throw error;
    output.note('stopped');
    return interrupt.status;
  }
  return found > 0 ? exitStatus.failed : exitStatus.done;
}

/** The text for people; lists at most `limit` problems and `limit` duplicates. */
function describeInfo(info: DatasetInfo, limit: number): string {
  const { spec, sizes, duplicates, problems } = info;
  const lines = [spec, '', countTable(info), ''];
  for (const { name, notes } of info.splits) {
    for (const note of notes) lines.push(name === null ? note : `${name}: ${note}`);
  }
  const empty = info.classes.filter((label) =>
    info.splits.every(({ classCounts }) => !classCounts[label]),
  );
  if (empty.length > 0) lines.push(`no image of ${empty.join(', ')}`);
  if (sizes) {
    const { smallest, median, largest, distinct, mostCommon } = sizes;
    lines.push(
      distinct === 1
        ? `all images are ${pixels(median)}`
        : `${distinct} image sizes from ${pixels(smallest)} to ${pixels(largest)}, half of them up ` +
            `to ${pixels(median)}; most often ${pixels(mostCommon)} (${mostCommon.count})`,
    );
  }
  if (duplicates.length > 0) {
    const leaks = duplicates.filter(({ acrossSplits }) => acrossSplits).length;
    const quarrels = duplicates.filter(({ differentLabels }) => differentLabels).length;
    lines.push(
      `${duplicates.length} images are there more than once: ${leaks} in several splits, ` +
        `${quarrels} with different labels`,
      ...limited(duplicates.map(duplicateLine), limit),
    );
  }
  const found = duplicates.length + empty.length > 0;
  const fine = found ? 'nothing else is wrong' : 'nothing is wrong';
  lines.push(
    'duplicates are images of equal pixels: copies in another size or quality are not looked for',
    problems.length === 0 ? fine : `${problems.length} problems`,
    ...limited(problems.map(problemLine), limit),
  );
  return lines.join('\n');
}

function countTable({ classes, splits }: DatasetInfo): string {
  const header = ['class', ...splits.map(({ name }) => name ?? 'images')];
  const rows = classes.map((label) => [
    label,
    ...splits.map(({ classCounts }) => String(classCounts[label] ?? 0)),
  ]);
  return table(header, [...rows, ['all', ...splits.map(({ size }) => String(size))]]);
}

function pixels({ width, height }: ImageSize): string {
  return `${width} x ${height}`;
}

function duplicateLine({ images }: DuplicateImages): string {
  return images
    .map(({ split, file, label }) => `${file} (${split === null ? '' : `${split}, `}${label})`)
    .join(' = ');
}

function problemLine({ kind, split, message }: DatasetProblem): string {
  return `${kind}${split === null ? '' : `, ${split}`}: ${message}`;
}

function limited(lines: readonly string[], limit: number): string[] {
  const shown = lines.slice(0, limit).map((line) => `  ${line}`);
  const rest = lines.length - shown.length;
  return rest > 0 ? [...shown, `  ... and ${rest} more`] : shown;
}
