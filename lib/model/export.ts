import { invalidArgument } from '../check.js';
import type { StateDict } from '../types.js';
import type { WeightFileFormat } from '../weights/write.js';

/** Names of exported weights: ours (`encoder.*`, `MLP.*`), or the encoder alone under its own. */
export const exportNames = ['model', 'encoder'] as const;

/** Options of {@link Model.saveWeights}. */
export interface SaveWeightsOptions {
  /** Default: by the file's extension. */
  readonly format?: WeightFileFormat;
  /**
   * `model` (default): every tensor, `encoder.*` and `MLP.*`, the authors' names. `encoder`: the encoder
   * alone without that prefix, which are torchvision's (ResNet) and Microsoft's (Swin) names. A
   * function gives each name another one; undefined leaves the tensor out.
   */
  readonly names?: (typeof exportNames)[number] | ((name: string) => string | undefined);
}

/** The same tensors under the names asked for. */
export function renameState(
  state: StateDict,
  names: SaveWeightsOptions['names'] = 'model',
): StateDict {
  const rename = renaming(names);
  const renamed: StateDict = new Map();
  for (const [name, tensor] of state) {
    const other = rename(name);
    if (other === undefined) continue;
    if (typeof other !== 'string' || renamed.has(other)) {
      throw invalidArgument('names that differ from each other', 'names', other);
    }
    renamed.set(other, tensor);
  }
  return renamed;
}

function renaming(names: SaveWeightsOptions['names']): (name: string) => string | undefined {
  if (typeof names === 'function') return names;
  if (names === 'model') return (name) => name;
  if (names === 'encoder') return (name) => /^encoder\.(.+)/.exec(name)?.[1];
  throw invalidArgument(`a function or one of ${exportNames.join(', ')}`, 'names', names);
}
