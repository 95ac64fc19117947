import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Runner } from '../../bench/contestant.js';
import { buildCommit, isSlower, regressionLine } from '../../bench/commit.js';
import {
  onnxRuntimeContestants,
  ourContestant,
  torchContestants,
} from '../../bench/contestants.js';
import { findPythons, twin, type TorchPython } from '../../bench/find-python.js';
import { compare, type Result } from '../../bench/measure.js';
import type { Report } from '../../bench/report.js';
import { markdown, measurementTable } from '../../bench/report.js';
import { scenarios, selectScenarios } from '../../bench/scenarios.js';
import { spreadOf } from '../../bench/statistics.js';

const run = promisify(execFile);
const root = join(__dirname, '../..');

function bench(...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const program = ['-r', 'tsx/cjs', join(root, 'bench/index.ts')];
  return run(process.execPath, [...program, ...args], { cwd: root });
}

function result(contestant: string, rounds: number[], informational = false): Result {
  return {
    contestant,
    informational,
    rounds,
    seconds: spreadOf(rounds),
    cpuSeconds: 2,
    imagesPerSecond: 64,
    peakBytes: 5e8,
  };
}

describe('bench', () => {
  let pythons: TorchPython[] = [];

  before('look for PyTorch', async function () {
    this.timeout(300_000);
    pythons = await findPythons();
    if (pythons.length === 0) console.log('      no Python with torch: its side is not tested');
  });

  describe('figures', () => {
    it('are medians with interpolated quartiles', () => {
      assert.deepEqual(spreadOf([4, 1, 3, 2]), { median: 2.5, q1: 1.75, q3: 3.25 });
      assert.deepEqual(spreadOf([7]), { median: 7, q1: 7, q3: 7 });
      assert.throws(() => spreadOf([]), RangeError);
    });

    it('compare ours with the fastest other one of the same precision, round by round', () => {
      const comparison = compare([
        result('ours', [1, 2, 4]),
        result('slow', [9, 9, 9]),
        result('fast', [3, 4, 4]),
        result('bf16', [0.1, 0.1, 0.1], true),
        { contestant: 'broken', informational: false, error: 'not here' },
      ]);
      assert.deepEqual(comparison, {
        against: 'fast',
        ratio: { median: 2, q1: 1.5, q3: 2.5 },
      });
    });

    it('have no ratio without another side, or without ours', () => {
      assert.equal(compare([result('ours', [1]), result('bf16', [1], true)]), null);
      const failed = { contestant: 'ours', informational: false, error: 'no memory' };
      assert.equal(compare([failed, result('other', [1])]), null);
    });

    it('stand in a table that keeps the reason of a failure', () => {
      const results = [
        result('ours', [0.5]),
        result('other', [1]),
        { contestant: 'compiled', informational: false, error: 'no compiler' },
      ];
      const comparison = compare(results);
      const scenario = scenarios.cpu[0]!;
      const table = measurementTable({ scenario, results, comparison });
      const [heading, ours, other, compiled] = table.split('\n');
      assert.match(heading!, /^train resnet18@112 b64 +ms +images\/s +CPU ms +peak MB +ours/);
      assert.match(ours!, /^ours +500 \[500, 500\] +64 +2000 +500$/);
      assert.match(other!, /^other +1000 \[1000, 1000\] .* 2\.00 \[2\.00, 2\.00\]$/);
      assert.match(compiled!, /^compiled +no compiler$/);
    });
  });

  describe('contestants', () => {
    const description = { torch: '2.13.0+cu130', compile: true } as TorchPython['description'];
    const python: TorchPython = { path: 'python3', env: {}, description };
    const named = (device: 'cpu' | 'cuda', task: string) => {
      const scenario = scenarios[device].find((other) => other.task === task)!;
      return torchContestants(python, scenario, 2, false).map(
        ({ name, precision, informational }) =>
          `${name}, ${precision}${informational ? ', shown only' : ''}`,
      );
    };

    it('are those of the device, the other precision being shown only', () => {
      assert.deepEqual(named('cpu', 'infer'), [
        'PyTorch 2.13.0, fp32',
        'PyTorch 2.13.0 traced, fp32',
        'PyTorch 2.13.0 compiled, fp32',
        'PyTorch 2.13.0 bf16, bf16, shown only',
      ]);
      assert.deepEqual(named('cuda', 'train'), [
        'PyTorch 2.13.0, bf16',
        'PyTorch 2.13.0 graphed, bf16',
        'PyTorch 2.13.0 compiled, bf16',
      ]);
      const onnxRuntime = { file: 'index.js', version: '1.2.3' };
      const names = scenarios.cpu.flatMap((scenario) =>
        onnxRuntimeContestants(onnxRuntime, scenario).map(({ name }) => `${scenario.task} ${name}`),
      );
      assert.deepEqual([...new Set(names)], ['infer ONNX Runtime 1.2.3']);
      assert.deepEqual(onnxRuntimeContestants(onnxRuntime, scenarios.cuda[1]!), []);
      const ours = ourContestant(scenarios.cuda[0]!, 'fp32');
      assert.equal(ours.name, 'countenance fp32');
      assert.ok(ours.informational);
    });
  });

  describe('a former commit', () => {
    const against = (ours: number[], theirs: number[]) => ({
      scenario: scenarios.cpu[0]!,
      results: [],
      comparison: compare([result('ours', ours), result('then', theirs)]),
    });
    const commit = { name: '0123456789', folder: 'nowhere' };

    it('was faster if most rounds say so by more than noise', () => {
      const slower = against([1, 1, 1, 1], [0.9, 0.92, 0.91, 0.93]);
      const noisy = against([1, 1, 1, 1], [0.9, 0.95, 1.05, 1.1]);
      const equal = against([1, 1, 1, 1], [0.99, 0.99, 0.99, 0.99]);
      const verdicts = [slower, noisy, equal].map(({ comparison }) => isSlower(comparison));
      assert.deepEqual(verdicts, [true, false, false]);
      assert.equal(
        regressionLine(commit, [noisy, slower]),
        'slower than 0123456789: train resnet18@112 b64 (0.92)',
      );
      assert.equal(regressionLine(commit, [noisy, equal]), 'nowhere slower than 0123456789');
    });

    it('that is none is refused', () => {
      assert.throws(() => buildCommit('no-such-revision', () => undefined), /git rev-parse/);
    });
  });

  describe('scenarios', () => {
    it('are chosen by parts of their names', () => {
      assert.equal(selectScenarios(undefined), scenarios.cpu);
      const ids = selectScenarios('train swin, infer resnet18@48').map(({ id }) => id);
      assert.deepEqual(ids, [
        'train swin-t@112 b64',
        'infer resnet18@48 b64',
        'infer resnet18@48 b1',
      ]);
    });

    it('that do not exist are refused with the list of those that do', async function () {
      this.timeout(300_000); // a process of its own on a machine that may be busy
      assert.throws(() => selectScenarios('resnet50'), /'train resnet18@112 b64'.*'resnet50'/);
      const failure = (await bench('--only', 'resnet50').catch((error: unknown) => error)) as {
        code: number;
        stderr: string;
      };
      assert.equal(failure.code, 2);
      assert.match(failure.stderr, /received 'resnet50'/);
    });
  });

  it('measures a scenario, beside PyTorch where it is found', async function () {
    this.timeout(600_000);
    const folder = mkdtempSync(join(tmpdir(), 'countenance-bench-'));
    try {
      const json = join(folder, 'figures.json');
      const chosen = ['--only', 'train resnet18@48', '--rounds', '1', '--threads', '1'];
      const { stdout } = await bench('--quick', ...chosen, '--json', json);
      const report = JSON.parse(readFileSync(json, 'utf8')) as Report;
      assert.equal(report.measurements.length, 1);
      const { scenario, results, comparison } = report.measurements[0]!;
      assert.equal(scenario.id, 'train resnet18@48 b64');
      assert.equal(results.length, 1 + pythons.length);
      for (const { contestant, error, seconds, rounds, peakBytes, imagesPerSecond } of results) {
        assert.equal(error, undefined, contestant);
        assert.ok(seconds!.median > 0 && seconds!.q1 <= seconds!.q3, contestant);
        assert.equal(rounds!.length, 1);
        // The weights, gradients and velocities of ResNet-18 alone need 134 MB.
        assert.ok(peakBytes! > 134e6, contestant);
        assert.ok(Math.abs(imagesPerSecond! * seconds!.median - 64) < 1e-6);
      }
      assert.equal(comparison === null, pythons.length === 0);
      assert.equal(report.pytorch.length, pythons.length);
      assert.ok(report.pytorch.every((description) => !('location' in description)));
      if (pythons.length === 0) assert.match(stdout, /no Python that has it was found/);
      assert.match(stdout, /load before the run/);
      assert.match(markdown(report), /## train resnet18@48 b64\n\n\|.*\n\| ---/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('has PyTorch refuse what its device cannot do', async function () {
    this.timeout(600_000);
    const python = pythons[0];
    if (!python) return this.skip();
    const [scenario] = selectScenarios('infer resnet18@48 b1');
    const [contestant] = torchContestants(python, scenario!, 1, true);
    const runner = new Runner(contestant!);
    const graphed = { ...contestant!, variant: 'graphed' as const };
    await assert.rejects(runner.setUp(scenario!, graphed, 1), /graphed: for a GPU only/);
    await runner.close();
  });

  it("has PyTorch run the project's own golden run", async function () {
    this.timeout(600_000);
    const python = pythons[0];
    if (!python) return this.skip();
    const env = { ...process.env, ...python.env };
    const { stdout } = await run(python.path, [twin, '--check', 'resnet18-48'], { env });
    assert.match(stdout, /^ok +resnet18-48-pairwise\.json: logits/);
  });
});
