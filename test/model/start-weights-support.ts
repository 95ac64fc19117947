import assert from 'node:assert/strict';
import type { InitializeReport, Model, StateDict } from '../../lib/index.js';
import { digest, makeModel } from '../api-support.js';

/** What no other network has. */
export const transformation = ['MLP.fc1.weight', 'MLP.fc1.bias', 'MLP.fc2.weight', 'MLP.fc2.bias'];

/** A ResNet-18 for each test, and weights that it can start from. */
export interface StartWeights {
  /** The encoder of another model, under torchvision's names. */
  readonly encoder: StateDict;
  /** Values like no weight, under the same names: another copy, or an optimizer's. */
  readonly copy: StateDict;
  readonly model: Model;
  /** The same tensors under other names; undefined leaves one out. */
  readonly named: (state: StateDict, rename: (name: string) => string | undefined) => StateDict;
  /** The encoder, or another copy of it, under a prefix. */
  readonly under: (prefix: string, state?: StateDict) => StateDict;
  /** Checks that the model now has all 100 tensors of `expected`. */
  readonly hasEncoder: (expected: StateDict, report: InitializeReport) => void;
}

/** Registers the hooks that fill {@link StartWeights}. */
export function startWeights(): StartWeights {
  const encoder: StateDict = new Map();
  const copy: StateDict = new Map();
  let model: Model;

  before(async () => {
    await using source = await makeModel({ seed: 3 });
    for (const [full, { shape, data }] of source.stateDict()) {
      const name = /^encoder\.(.*)/.exec(full)?.[1];
      if (name === undefined) continue;
      encoder.set(name, { shape, data });
      copy.set(name, { shape, data: data.map((value) => value + 0.5) });
    }
  });
  beforeEach(async () => {
    model = await makeModel({ seed: 1 });
  });
  afterEach(() => model.close());

  const named: StartWeights['named'] = (state, rename) =>
    new Map(
      [...state].flatMap(([name, tensor]) => {
        const other = rename(name);
        return other === undefined ? [] : [[other, tensor] as const];
      }),
    );
  return {
    encoder,
    copy,
    get model() {
      return model;
    },
    named,
    under: (prefix, state = encoder) => named(state, (name) => prefix + name),
    hasEncoder: (expected, report) => {
      assert.equal(report.matched.length, 100);
      assert.deepEqual(report.missing, transformation);
      const state = model.stateDict();
      const now = new Map([...encoder.keys()].map((name) => [name, state.get(`encoder.${name}`)!]));
      assert.equal(digest(now), digest(expected));
    },
  };
}
