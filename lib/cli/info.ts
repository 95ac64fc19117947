import sharp from 'sharp';
import type { Command } from 'commander';
import { dataFormats } from '../data/registry.js';
import { info, type Info } from '../load-native.js';
import { backbones, devicesWith, precisions } from '../model/config.js';
import { addJsonOption, examples, exitStatus } from './options.js';
import { Output, type Context } from './output.js';
import { table } from './table.js';

/** `countenance info`. */
export function addInfoCommand(program: Command, { streams, finish }: Context): void {
  addJsonOption(program.command('info'))
    .summary('print what this installation can use')
    .description(
      'Prints the version, the machine, and whether a GPU can be used (and if not, why).',
    )
    .addHelpText('after', examples('countenance info', 'countenance info --json'))
    .action((options: { json?: boolean }) => {
      const output = new Output(streams, options.json ?? false);
      const { version, platform, node, cpu, cuda } = info();
      const formats = dataFormats.map(({ name }) => name);
      const images = { sharp: sharp.versions.sharp, libvips: sharp.versions.vips };
      const devices = Object.fromEntries(precisions.map((name) => [name, devicesWith(name)]));
      output.record({
        version,
        platform,
        node,
        cpu,
        cuda,
        precisions: devices,
        backbones,
        formats,
        images,
      });
      output.text(
        table(
          ['countenance', version],
          [
            ['platform', platform],
            ['node', node],
            ['cpu', `${cpu.instructionSet}, ${cpu.threads} threads`],
            ...cudaRows(cuda),
            ...precisions.map((name) => [name, devicesWith(name).join(', ')]),
            ['backbones', backbones.join(', ')],
            ['data formats', formats.join(', ')],
            ['images', `sharp ${images.sharp}, libvips ${images.libvips}`],
          ],
          [0, 1],
        ),
      );
      finish(exitStatus.done);
    });
}

/** One line per GPU, or the reason why there is none; and what opened the GPUs. */
function cudaRows({ devices, reason, plugin, driver, runtime }: Info['cuda']): string[][] {
  const rows = devices.map(({ index, name, computeCapability, memoryBytes }) => [
    `cuda:${index}`,
    `${name}, compute capability ${computeCapability}, ${Math.round(memoryBytes / 2 ** 30)} GiB`,
  ]);
  if (rows.length === 0) rows.push(['cuda', `not available: ${reason}`]);
  if (plugin !== null) {
    rows.push(['cuda plugin', plugin]);
    rows.push(['cuda versions', `driver ${driver ?? 'none'}, plugin built with ${runtime ?? '?'}`]);
  }
  return rows;
}
