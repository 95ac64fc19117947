import type { Backbone } from '../lib/core-options.js';

/** Where a scenario runs. */
export const devices = ['cpu', 'cuda'] as const;
/** One of {@link devices}. */
export type Device = (typeof devices)[number];

/** The precision of a network's computations. */
export type Precision = 'fp32' | 'bf16';

/** What is measured: one network, one batch size, training steps or forward passes. */
export interface Scenario {
  /** Such as `train resnet18@112 b64`. */
  readonly id: string;
  readonly task: 'train' | 'infer';
  readonly backbone: Backbone;
  /** Side of the square input in pixels. */
  readonly size: number;
  readonly batch: number;
  readonly device: Device;
  /** For the contestants that are compared. */
  readonly precision: Precision;
  /** Steps or passes of one turn: about a second's worth on the CPU; determined at run time on a GPU. */
  readonly count: number;
}

function scenario(
  task: Scenario['task'],
  backbone: Scenario['backbone'],
  size: number,
  batch: number,
  count: number,
): Scenario {
  const id = `${task} ${backbone}@${size} b${batch}`;
  return { id, task, backbone, size, batch, device: 'cpu', precision: 'fp32', count };
}

const cpuScenarios: readonly Scenario[] = [
  scenario('train', 'resnet18', 112, 64, 3),
  scenario('train', 'resnet18', 48, 64, 8),
  scenario('train', 'swin-t', 112, 64, 1),
  scenario('infer', 'resnet18', 112, 64, 6),
  scenario('infer', 'resnet18', 112, 1, 100),
  scenario('infer', 'resnet18', 48, 64, 20),
  scenario('infer', 'resnet18', 48, 1, 200),
  scenario('infer', 'swin-t', 112, 64, 1),
  scenario('infer', 'swin-t', 112, 1, 30),
];

/** On a GPU: the networks and sizes, the most important first. */
const gpuNetworks = [
  ['resnet18', 112],
  ['swin-t', 112],
  ['resnet18', 224],
] as const;
const gpuBatches = [
  ['train', 64],
  ['infer', 1],
  ['train', 256],
  ['infer', 64],
  ['infer', 256],
] as const;

/** Every scenario of a device, in the order of measurement and of the table. */
export const scenarios: Readonly<Record<Device, readonly Scenario[]>> = {
  cpu: cpuScenarios,
  cuda: gpuBatches.flatMap(([task, batch]) =>
    gpuNetworks.map(([backbone, size]) => ({
      ...scenario(task, backbone, size, batch, 1),
      device: 'cuda' as const,
      precision: 'bf16' as const,
    })),
  ),
};

/**
 * The scenarios of a device whose id contains one of the comma-separated texts; all of them without a text.
 *
 * @throws RangeError if a text matches none
 */
export function selectScenarios(
  only: string | undefined,
  device: Device = 'cpu',
): readonly Scenario[] {
  const all = scenarios[device];
  if (only === undefined) return all;
  const wanted = only.split(',').map((text) => text.trim().toLowerCase());
  for (const text of wanted) {
    if (text === '' || !all.some(({ id }) => id.includes(text))) {
      const ids = all.map(({ id }) => `'${id}'`).join(', ');
      throw new RangeError(`Expected a part of one of ${ids} but received '${text}'`);
    }
  }
  return all.filter(({ id }) => wanted.some((text) => id.includes(text)));
}
