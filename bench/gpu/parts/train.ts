import { join } from 'node:path';
import { moduleArguments } from '../../paths.js';
import { criterion, curveSettings, judge, steps, type Curve, type Verdict } from '../curves.js';
import { releaseFolder, run, type Context, type Outcome, type Part } from '../part.js';

export interface TrainResult {
  readonly steps: number;
  readonly criterion: string;
  readonly curves: readonly Curve[];
  /** Null if a curve is missing. */
  readonly verdict: Verdict | null;
}

async function train(context: Context): Promise<Outcome<TrainResult>> {
  const ended = await run(context, process.execPath, moduleArguments('gpu/train-curves'), {
    limit: 600,
    log: 'train',
    env: { COUNTENANCE_ADDON: join(releaseFolder, 'countenance.node') },
  });
  const curves = ended.stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Curve);
  if (curves.length < curveSettings.length) {
    const reason = ended.problem ?? `it ended with status ${ended.status}, see logs/train.log`;
    return { status: 'not measured', reason };
  }
  let verdict: Verdict | null = null;
  let reason: string | undefined;
  try {
    verdict = judge(curves);
    if (!verdict.withinNoise) reason = 'a loss curve of the GPU is not within noise of the CPU';
  } catch (error) {
    reason = (error as RangeError).message;
  }
  return {
    status: reason === undefined ? 'passed' : 'failed',
    ...(reason !== undefined && { reason }),
    result: { steps, criterion, curves, verdict },
  };
}

export const trainPart: Part<TrainResult> = {
  name: 'train',
  what: `${steps} steps on synthetic faces, on the GPU in float32 and bf16 and on the CPU`,
  seconds: 150,
  run: train,
};
