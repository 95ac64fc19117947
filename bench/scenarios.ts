/** What is measured: one network, one batch size, training steps or forward passes. */
export interface Scenario {
  /** Such as `train resnet18@112 b64`. */
  readonly id: string;
  readonly task: 'train' | 'infer';
  readonly backbone: 'resnet18' | 'swin-t';
  /** Side of the square input in pixels. */
  readonly size: number;
  readonly batch: number;
  /** Steps or passes of one turn: about a second's worth. */
  readonly count: number;
}

function scenario(
  task: Scenario['task'],
  backbone: Scenario['backbone'],
  size: number,
  batch: number,
  count: number,
): Scenario {
  return { id: `${task} ${backbone}@${size} b${batch}`, task, backbone, size, batch, count };
}

/** Every scenario, in the order of the table. */
export const scenarios: readonly Scenario[] = [
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

/**
 * The scenarios whose id holds one of the comma-separated texts; all of them for no text.
 *
 * @throws RangeError where a text fits none
 */
export function selectScenarios(only: string | undefined): readonly Scenario[] {
  if (only === undefined) return scenarios;
  const wanted = only.split(',').map((text) => text.trim().toLowerCase());
  for (const text of wanted) {
    if (text === '' || !scenarios.some(({ id }) => id.includes(text))) {
      const ids = scenarios.map(({ id }) => `'${id}'`).join(', ');
      throw new RangeError(`Expected a part of one of ${ids} but received '${text}'`);
    }
  }
  return scenarios.filter(({ id }) => wanted.some((text) => id.includes(text)));
}
