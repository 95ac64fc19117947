import { checkChoice, checkNumber, checkObject, invalidArgument } from '../check.js';
import { encoderNamed } from '../core-options.js';
import { description } from '../description.js';
import type { Backbone } from '../model/config.js';
import type { NativeParameterGroups, NativeTensorInfo } from '../native.js';

/** The parts of a model whose parameters may have their own learning rate and weight decay. */
export const parameterGroups = ['backbone', 'head', 'transformation'] as const;
/**
 * - `backbone`: the encoder without its head, which other projects' weights can provide (`encoder.*`)
 * - `head`: the encoder's layers after pooling, if it has any (ResNet-50: `encoder.fc.*`, Swin:
 *   `encoder.feature.*`)
 * - `transformation`: the emotional-to-neutral transformation (`MLP.*`), new in most runs
 */
export type ParameterGroupName = (typeof parameterGroups)[number];

/** Options of the parameters in a group. */
export interface ParameterGroupOptions {
  /**
   * Factor for the learning rate of each step, 0 or more. Default 1. With 0 the weights do not change by a
   * single bit; the gradient is still computed and counts for clipping, and the running statistics of
   * batch norms still follow the data, as in PyTorch's training mode.
   */
  readonly learningRateScale?: number;
  /** Default: the trainer's. */
  readonly weightDecay?: number;
}

/** Options by group; a group that is not named has the trainer's. */
export type ParameterGroups = Readonly<Partial<Record<ParameterGroupName, ParameterGroupOptions>>>;

/** {@link ParameterGroups} with every default filled in. */
export type ResolvedParameterGroups = Readonly<
  Partial<Record<ParameterGroupName, Required<ParameterGroupOptions>>>
>;

/** The parameters that weight decay applies to. */
export const weightDecayTargets = ['all', 'matrices'] as const;
/**
 * - `all`: every parameter, as in torch.optim without groups and in the authors' script
 * - `matrices`: weights of convolutions and linear layers; not biases, weights of norms or Swin's
 *   tables of relative positions, which timm excludes too
 */
export type WeightDecayTarget = (typeof weightDecayTargets)[number];

/** The trainer's options on which groups depend. */
export interface GroupSettings {
  readonly groups: ResolvedParameterGroups;
  readonly weightDecay: number;
  readonly weightDecayOn: WeightDecayTarget;
}

/**
 * Checks groups and fills in their defaults.
 *
 * @throws CountenanceError ERR_INVALID_ARGUMENT that names the option
 */
export function resolveGroups(
  groups: ParameterGroups,
  backbone: Backbone,
  weightDecay: number,
): ResolvedParameterGroups {
  checkObject(groups, 'groups');
  const hasHead = encoderNamed(backbone).head !== null;
  const names = parameterGroups.filter((name) => name !== 'head' || hasHead);
  const entries = Object.entries(groups).map(([key, options]) => {
    const name = checkChoice(key, `a name in groups (of ${backbone})`, names);
    checkObject(options, `groups.${name}`);
    const own = (option: keyof ParameterGroupOptions, value: number): number =>
      checkNumber(options[option] ?? value, `groups.${name}.${option}`, 'at least 0');
    const learningRateScale = own('learningRateScale', 1);
    return [name, { learningRateScale, weightDecay: own('weightDecay', weightDecay) }] as const;
  });
  const resolved: ResolvedParameterGroups = Object.fromEntries(entries);
  if (names.every((name) => resolved[name]?.learningRateScale === 0)) {
    const expected = `a learning rate scale above 0 of one of ${names.join(', ')}`;
    throw invalidArgument(expected, 'groups', 'all frozen');
  }
  return resolved;
}

const heads = description.encoders.flatMap(({ head }) => head ?? []);

/** The group that a tensor of the model belongs to. */
export function groupOf(tensor: string): ParameterGroupName {
  if (tensor.startsWith('MLP.')) return 'transformation';
  const isHead = heads.some((head) => tensor.startsWith(`encoder.${head}`));
  return isHead ? 'head' : 'backbone';
}

/** The groups in the addon's form: tensors with the same rates are one group. */
export function toNativeGroups(
  { groups, weightDecay, weightDecayOn }: GroupSettings,
  tensors: readonly NativeTensorInfo[],
): NativeParameterGroups | null {
  const rows: Required<ParameterGroupOptions>[] = [];
  const of = Uint8Array.from(tensors, (tensor) => {
    if (!tensor.trainable) return 0;
    const own = groups[groupOf(tensor.name)] ?? { learningRateScale: 1, weightDecay };
    const decays = weightDecayOn === 'all' || isMatrix(tensor);
    const row = { ...own, weightDecay: decays ? own.weightDecay : 0 };
    const known = rows.findIndex(
      (other) =>
        other.learningRateScale === row.learningRateScale && other.weightDecay === row.weightDecay,
    );
    return known === -1 ? rows.push(row) - 1 : known;
  });
  const [first] = rows;
  const isPlain = first?.learningRateScale === 1 && first.weightDecay === weightDecay;
  if (rows.length === 1 && isPlain) return null;
  return {
    learningRateScales: Float32Array.from(rows, (row) => row.learningRateScale),
    weightDecays: Float32Array.from(rows, (row) => row.weightDecay),
    of,
  };
}

function isMatrix({ name, shape }: NativeTensorInfo): boolean {
  return shape.length > 1 && !name.endsWith('.relative_position_bias_table');
}

/** Describes the groups for a log: one line each, such as `backbone: learning rate x 0.1`. */
export function describeGroups({ groups, weightDecay, weightDecayOn }: GroupSettings): string[] {
  const lines = Object.entries(groups).flatMap(([name, own]) => {
    const { learningRateScale: scale } = own;
    const parts = [
      ...(scale === 1 ? [] : [scale === 0 ? 'frozen' : `learning rate x ${scale}`]),
      ...(own.weightDecay === weightDecay ? [] : [`weight decay ${own.weightDecay}`]),
    ];
    return parts.length === 0 ? [] : [`${name}: ${parts.join(', ')}`];
  });
  if (weightDecayOn === 'all') return lines;
  return [...lines, 'no weight decay of biases, norms and tables of relative positions'];
}
