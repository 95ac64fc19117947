import { join } from 'node:path';
import type { Contestant } from './contestant.js';
import type { OnnxRuntimePackage } from './find-onnxruntime.js';
import { twin, type TorchPython } from './find-python.js';
import { moduleArguments, root } from './paths.js';
import type { Precision, Scenario } from './scenarios.js';

/** A program of Node's that does the scenario's task plainly. */
export function nodeContestant(
  name: string,
  args: readonly string[],
  scenario: Scenario,
  precision = scenario.precision,
): Contestant {
  const informational = precision !== scenario.precision;
  const command = process.execPath;
  return { name, command, args, env: {}, variant: 'eager', precision, informational };
}

/** countenance through its public API, in its own process. */
export function ourContestant(scenario: Scenario, precision = scenario.precision): Contestant {
  const name = precision === scenario.precision ? 'countenance' : `countenance ${precision}`;
  return nodeContestant(name, moduleArguments('ours'), scenario, precision);
}

/** ONNX Runtime with our export of the network: forward passes in float32 on the CPU. */
export function onnxRuntimeContestants(
  { version }: OnnxRuntimePackage,
  scenario: Scenario,
): Contestant[] {
  const { task, device, precision } = scenario;
  if (task !== 'infer' || device !== 'cpu' || precision !== 'fp32') return [];
  return [nodeContestant(`ONNX Runtime ${version}`, moduleArguments('onnxruntime'), scenario)];
}

/** A short name that distinguishes two installations. */
export function nameOfTorch({ description }: TorchPython): string {
  return `PyTorch ${description.torch.replace(/[+].*$/, '')}`;
}

/** The ways in which a PyTorch can do a task on a device, including those of another precision. */
function waysOf(
  { description }: TorchPython,
  { task, device, precision }: Scenario,
  quick: boolean,
): { variant: Contestant['variant']; precision: Precision }[] {
  const variants: Contestant['variant'][] = ['eager'];
  if (device === 'cuda') variants.push('graphed');
  if (!quick) {
    if (device === 'cpu' && task === 'infer') variants.push('traced');
    if (description.compile) variants.push('compiled');
  }
  const ways = variants.map((variant) => ({ variant, precision }));
  // On a GPU float32 depends on whether TF32 is used; it is left out there.
  if (quick || device === 'cuda') return ways;
  return [...ways, { variant: 'eager', precision: 'bf16' }];
}

/** Keeps the tuning results of PyTorch's compiler for the next run. */
const compilerCache = join(root, 'build', 'inductor');

/**
 * Every way in which PyTorch can do a scenario's task: plainly, compiled, traced or as a CUDA graph where
 * possible, and with bf16 autocast if the scenario's precision is another: that one is only shown.
 */
export function torchContestants(
  python: TorchPython,
  scenario: Scenario,
  threads: number,
  quick: boolean,
): Contestant[] {
  return waysOf(python, scenario, quick).map(({ variant, precision }) => {
    const informational = precision !== scenario.precision;
    const notes = [variant === 'eager' ? '' : variant, informational ? precision : ''];
    return {
      name: [nameOfTorch(python), ...notes].filter(Boolean).join(' '),
      command: python.path,
      args: [twin],
      env: {
        ...python.env,
        OMP_NUM_THREADS: String(threads),
        TORCHINDUCTOR_CACHE_DIR: compilerCache,
      },
      variant,
      precision,
      informational,
    };
  });
}
