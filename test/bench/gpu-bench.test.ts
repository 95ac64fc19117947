import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Budget } from '../../bench/gpu/budget.js';
import {
  curveSettings,
  distance,
  judge,
  smooth,
  steps,
  type Curve,
} from '../../bench/gpu/curves.js';
import { Fragments, type Fragment } from '../../bench/gpu/fragment.js';
import { limitsOf, rooflineShare } from '../../bench/gpu/limits.js';
import { sanitizedTests } from '../../bench/gpu/parts/sanitizer.js';
import { architectureOf, type Card, type Platform } from '../../bench/gpu/platform.js';
import { noGpuStatus, parseTests, runProgram } from '../../bench/gpu/programs.js';
import { collect, resultName } from '../../bench/gpu/report.js';
import { markdown, notMeasured } from '../../bench/gpu/tables.js';
import { scenarios } from '../../bench/scenarios.js';

// bench/gpu without a GPU: how parts are chosen, cut by a budget, merged and shown.

const root = join(__dirname, '../..');

const card: Card = {
  name: 'NVIDIA A100-SXM4-80GB',
  driver: '580.65',
  driverCuda: '13.0',
  memoryBytes: 80 * 2 ** 30,
  capability: '8.0',
  smClock: 1410,
  memoryClock: 1593,
  powerLimit: 400,
};

const platform: Platform = {
  card,
  machine: { cpu: 'CPU', cores: 16, memoryBytes: 2 ** 37, platform: 'linux-x64', node: '20.20.2' },
  nvcc: '13.0.88',
  compiler: 'c++ 12',
  countenance: '0.1.0',
  commit: 'abc',
};

function fragment(name: string, more: Partial<Fragment> = {}): Fragment {
  const date = '2026-01-02T03:04:05.000Z';
  return { name, status: 'passed', date, seconds: 1, platform, ...more };
}

const testOutput = `  ok op_relu
     largest error: bf16 0.0021, fp32 1.2e-07
    ops.cpp:12: y[3] is wrong
    ops.cpp:13: y[4] is wrong
FAIL op_gelu (2 checks)
     largest error: bf16 inf, fp32 -nan
skip devices_are_counted: one GPU only: two at once were not tried
native tests: 1 passed, 1 failed, 1 skipped
`;

describe('bench/gpu', () => {
  let folder = '';
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'countenance-gpu-'))));
  afterEach(() => rmSync(folder, { recursive: true }));

  describe('budget', () => {
    it('refuses what takes longer than what is left', () => {
      let now = 100;
      const budget = new Budget(60, () => now);
      assert.equal(budget.refusal(60), undefined);
      now = 130.5;
      assert.equal(budget.left, 29.5);
      assert.equal(budget.refusal(40), 'it takes about 40 s and 29 s of the budget are left');
      now = 500;
      assert.equal(budget.left, 0);
    });

    it('is without end where none is given', () => {
      assert.equal(new Budget(undefined).refusal(1e9), undefined);
    });
  });

  describe('programs', () => {
    it("report their tests' verdicts, reasons and errors", () => {
      const huge = Number.MAX_VALUE;
      assert.deepEqual(parseTests(testOutput), [
        { name: 'op_relu', status: 'passed', errors: { bf16: 0.0021, fp32: 1.2e-7 } },
        {
          name: 'op_gelu',
          status: 'failed',
          reason: 'ops.cpp:12: y[3] is wrong',
          errors: { bf16: huge, fp32: huge },
        },
        {
          name: 'devices_are_counted',
          status: 'skipped',
          reason: 'one GPU only: two at once were not tried',
          errors: {},
        },
      ]);
    });

    it('are stopped at their limit, with their children, and leave a log', async () => {
      const log = join(folder, 'logs', 'sleep.log');
      const ended = await runProgram('sh', ['-c', 'echo begun; sleep 60'], { limit: 0.5, log });
      assert.equal(ended.problem, 'stopped after 1 s');
      assert.equal(ended.stdout, 'begun\n');
      assert.match(readFileSync(log, 'utf8'), /^\$ sh -c .*\nbegun\n$/);
    });

    it('that are missing are told', async () => {
      const ended = await runProgram(join(folder, 'nothing'), [], {
        limit: 5,
        log: join(folder, 'l'),
      });
      assert.equal(ended.status, null);
      assert.match(ended.problem!, /ENOENT/);
    });
  });

  describe('training curves', () => {
    const curve = (settings: (typeof curveSettings)[number], shift: number): Curve => ({
      ...settings,
      seconds: 1,
      losses: Array.from({ length: steps }, (_, i) => 3 - i / 100 + shift),
    });
    const curves = (gpu: number) =>
      curveSettings.map((settings) =>
        curve(settings, settings.device === 'cuda' ? gpu : settings.seed / 10),
      );

    it('are smoothed before they are compared', () => {
      const noisy = Array.from({ length: 100 }, (_, i) => 1 + (i % 2 ? 0.5 : -0.5));
      assert.equal(smooth(noisy).length, 81);
      assert.ok(smooth(noisy).every((mean) => Math.abs(mean - 1) < 1e-12));
      assert.ok(
        Math.abs(
          distance(
            noisy,
            noisy.map((x) => x * 1.1),
          ) -
            0.1 / 1.1,
        ) < 1e-12,
      );
    });

    it('of the GPU are within the noise of the CPU, or not', () => {
      const good = judge(curves(0.01));
      assert.ok(good.withinNoise);
      assert.ok(good.distances.fp32 > 0 && good.distances.fp32 < good.noise);
      assert.equal(judge(curves(1)).withinNoise, false);
      assert.equal(judge(curves(NaN)).withinNoise, false);
    });

    it('that are missing or cut short give no verdict', () => {
      const cut = curves(0).map((c) =>
        c.precision === 'bf16' ? { ...c, losses: c.losses.slice(0, 5), error: 'no memory' } : c,
      );
      assert.throws(() => judge(cut), /no complete run of cuda bf16, seed 0: no memory/);
      assert.throws(() => judge([]), RangeError);
    });
  });

  describe('cards', () => {
    it('decide what is compiled', () => {
      assert.equal(architectureOf(card), '80-real');
      assert.equal(architectureOf({ ...card, capability: '9.0' }), '90a-real');
      assert.throws(() => architectureOf({ ...card, capability: '7.5' }), /8\.0 is the least/);
    });

    it('have limits where they are known', () => {
      assert.equal(limitsOf('NVIDIA H100 80GB HBM3')?.bytesPerSecond, 3.35e12);
      assert.equal(limitsOf('NVIDIA H200')?.flopsPerSecond, 989.5e12);
      assert.equal(limitsOf('Some other card'), undefined);
      const [scenario] = scenarios.cuda;
      const { share, leastSeconds, flops } = rooflineShare(card.name, scenario!, 0.01)!;
      assert.ok(Math.abs(share * 0.01 - leastSeconds) < 1e-12);
      assert.ok(leastSeconds > flops / 312e12 && leastSeconds < 0.01);
      assert.equal(rooflineShare('Some other card', scenario!, 1), undefined);
    });
  });

  describe('fragments', () => {
    it('keep a figure when a later attempt could not run', () => {
      const fragments = new Fragments(folder);
      fragments.write(fragment('bench/train swin-t@112 b64', { result: 1 }));
      fragments.write(
        fragment('bench/train swin-t@112 b64', { status: 'not measured', reason: 'no time' }),
      );
      assert.equal(fragments.read('bench/train swin-t@112 b64')?.result, 1);
      assert.equal(fragments.read('parity'), undefined);
    });

    it('of other runs are taken over where they are newer or missing', () => {
      const [here, there] = [join(folder, 'here'), join(folder, 'there')];
      const [own, other] = [new Fragments(here), new Fragments(there)];
      own.write(fragment('golden', { date: '2026-02-01', result: 'new' }));
      own.write(fragment('build', { date: '2026-01-01', result: 'old' }));
      own.write(fragment('train', { status: 'not measured', date: '2026-03-01' }));
      for (const [name, result] of [
        ['golden', 'old'],
        ['build', 'new'],
        ['train', 'new'],
        ['bench/infer swin-t@112 b1', 'new'],
      ] as const) {
        other.write(fragment(name, { date: '2026-01-15', result }));
      }
      writeFileSync(join(there, 'report.json'), '{ "missing": [] }');
      own.merge(there);
      for (const name of ['golden', 'build', 'train', 'bench/infer swin-t@112 b1']) {
        assert.equal(own.read(name)?.result, 'new', name);
      }
    });

    it('become a report that says what is missing and why', () => {
      const fragments = new Fragments(folder);
      fragments.write(fragment('build'));
      fragments.write(fragment('golden', { status: 'not measured', reason: 'no GPU' }));
      const old = { ...platform, card: { ...card, name: 'Another' } };
      fragments.write(fragment('train', { platform: old }));
      const names = ['build', 'parity', 'golden', 'train'];
      const report = collect(fragments, names, platform, new Map([['parity', 'no time']]));
      assert.deepEqual(
        report.fragments.map(({ name }) => name),
        ['build'],
      );
      assert.deepEqual(report.missing, [
        { name: 'parity', reason: 'no time' },
        { name: 'golden', reason: 'no GPU' },
        { name: 'train', reason: 'it was not run; older figures are of another card' },
      ]);
      assert.equal(resultName(report.date!, card), '2026-01-02-nvidia-a100-sxm4-80gb');
    });
  });

  describe('tables', () => {
    const names = [
      ...['build', 'parity', 'golden', 'train', 'sanitizer'],
      ...scenarios.cuda.map(({ id }) => `bench/${id}`),
    ];

    it('hold every part and scenario, without a figure where there is none', () => {
      const page = markdown(collect(new Fragments(folder), names, null));
      for (const { id } of scenarios.cuda) {
        assert.ok(page.includes(`| ${id} | ${notMeasured}: it was not run |`), id);
      }
      assert.match(page, /\| golden runs, bf16 \| not measured yet: it was not run \|/);
      // Where nothing was measured, the only figures are sizes, goals and names.
      const cells = page.split('\n').filter((line) => line.startsWith('|'));
      assert.ok(cells.every((line) => !/\d\.\d{2}|images\/s \| \d/.test(line)));
    });

    it('of the documentation name scenarios, and leave out those without figures', () => {
      const page = readFileSync(join(root, 'docs/PERFORMANCE.md'), 'utf8');
      const part = page.slice(page.indexOf('## On a GPU'), page.indexOf('## Other kernels'));
      const rows = [...part.matchAll(/^\| ((?:train|infer) [^|]*) \|/gm)].map(([, id]) => id!);
      const known = scenarios.cuda.map(({ id }) => id);
      assert.ok(rows.length > 0);
      assert.deepEqual(
        rows.filter((id) => !known.includes(id)),
        [],
      );
      assert.ok(!page.includes(notMeasured));
    });

    it('show what was measured', () => {
      const fragments = new Fragments(folder);
      const passed = parseTests(testOutput);
      fragments.write(
        fragment('parity', {
          status: 'failed',
          reason: '1 of 3: op_gelu',
          result: {
            bounds: { fp32: 1e-5, bf16: 1e-2 },
            operations: passed.slice(0, 1),
            others: passed,
            recorded: true,
          },
        }),
      );
      const id = 'train resnet18@112 b64';
      const result = (contestant: string, seconds: number, informational = false) => ({
        contestant,
        informational,
        seconds: { median: seconds, q1: seconds, q3: seconds },
        rounds: [seconds],
        imagesPerSecond: 64 / seconds,
        cardBytes: 2e9,
      });
      const results = [
        result('countenance', 0.004),
        result('countenance fp32', 0.02, true),
        result('PyTorch 2.13.0', 0.012),
        {
          contestant: 'PyTorch 2.13.0 compiled',
          informational: false,
          error: 'not ready after 300 s',
        },
        result('PyTorch 2.13.0 graphed', 0.008),
      ];
      const ratio = { median: 2, q1: 2, q3: 2 };
      const measurement = {
        scenario: scenarios.cuda[0],
        results,
        comparison: { against: 'PyTorch 2.13.0 graphed', ratio },
      };
      const pytorch = { torch: '2.13.0', python: '3.12', cuda: { cuda: '13.0', cudnn: 91300 } };
      const roofline = { share: 0.31, boundBy: 'memory' };
      fragments.write(fragment(`bench/${id}`, { result: { measurement, pytorch, roofline } }));
      const page = markdown(collect(fragments, names, platform));
      assert.match(page, /\| float32 against the CPU \| 1\.2e-7 \(op_relu\) \|/);
      assert.match(page, /\| backend, PTX wrappers \| 1 of 3 passed, 1 failed, 1 skipped \|/);
      assert.match(page, /\| op_relu \| passed \| 1\.2e-7 \| 2\.1e-3 \|/);
      assert.ok(
        page.includes(
          `| ${id} | 4 [4, 4] | 16000 | 20 [20, 20] | 12 [12, 12] | 8 [8, 8] | ` +
            'failed: not ready after 300 s | 2.00 [2.00, 2.00] | 1.5 | 2000 / 2000 | 31 % (memory) |',
        ),
        page,
      );
      assert.match(page, /PyTorch 2\.13\.0: Python 3\.12, CUDA 13\.0, cuDNN 91300/);
    });
  });

  it('sanitizes tests that exist', () => {
    const sources = ['norm', 'swin', 'loss', 'pool', 'optimizer'].map((f) => `ops_${f}_test`);
    const text = [...sources, 'conv2d_test', 'linear_test']
      .map((name) => readFileSync(join(root, 'test/native/backend', `${name}.cpp`), 'utf8'))
      .join('\n');
    for (const test of sanitizedTests) {
      const macro = test.startsWith('op_') ? `OP_CASES(${test.slice(3)},` : `TEST(${test})`;
      assert.ok(text.includes(macro), macro);
    }
  });

  describe('run.sh', () => {
    function fake(name: string, script: string): void {
      mkdirSync(join(folder, 'bin'), { recursive: true });
      const file = join(folder, 'bin', name);
      writeFileSync(file, `#!/bin/sh\n${script}\n`);
      chmodSync(file, 0o755);
    }

    function runSh(...args: string[]) {
      const out = ['--fragments', join(folder, 'fragments'), '--out', join(folder, 'out')];
      return spawnSync(join(root, 'bench/gpu/run.sh'), [...args, ...out], {
        encoding: 'utf8',
        env: {
          ...process.env,
          PATH: `${join(folder, 'bin')}:${process.env['PATH']}`,
          COUNTENANCE_GPU_PACK: join(folder, 'no-pack'),
        },
      });
    }

    const smi = `case "$*" in
*memory.used*) echo 500 ;;
*query-gpu*) echo 'NVIDIA A100-SXM4-80GB, 580.65, 81920, 8.0, 1410, 1593, 400.00' ;;
*) echo '| Driver Version: 580.65   CUDA Version: 13.0 |' ;;
esac`;

    it('says why there is no GPU, with a status of its own and an empty table', function () {
      this.timeout(300_000);
      fake('nvidia-smi', 'echo "No devices were found"; exit 6');
      const { status, stdout } = runSh('parity');
      assert.equal(status, noGpuStatus, stdout);
      assert.match(stdout, /^no GPU: nvidia-smi failed: No devices were found$/m);
      assert.match(stdout, /\| operations \| not measured yet: no GPU: nvidia-smi failed/);
    });

    it('plans without running in a dry run', function () {
      this.timeout(300_000);
      fake('nvidia-smi', smi);
      const { status, stdout } = runSh('--dry-run');
      assert.equal(status, 0, stdout);
      assert.match(stdout, /^NVIDIA A100-SXM4-80GB: 20 parts, about \d+\.\d min$/m);
      assert.match(stdout, /^== bench\/train resnet18@112 b64: .*; about 2\.5 min$/m);
      assert.match(stdout, /80 GiB, compute capability 8\.0, driver 580\.65 \(CUDA 13\.0\), 400 W/);
      assert.match(stdout, /\| training curve \| not measured yet: it was a dry run \|/);
    });

    it('starts nothing that the budget does not hold', function () {
      this.timeout(300_000);
      fake('nvidia-smi', smi);
      const { status, stdout } = runSh('sanitizer', 'bench', '--only', 'b256', '--budget', '30');
      assert.equal(status, 1);
      assert.match(
        stdout,
        /^-- not started: it takes about 180 s and \d+ s of the budget are left$/m,
      );
      assert.match(stdout, /\| train swin-t@112 b256 \| not measured yet: it takes about 240 s/);
      assert.match(stdout, /\| train swin-t@112 b64 \| not measured yet: it was not run \|/);
    });

    it('keeps the reason of a build that fails, and what was measured before', function () {
      this.timeout(300_000);
      fake('nvidia-smi', smi);
      fake('cmake', 'echo "CMake Error: no such generator"; exit 1');
      const fragments = new Fragments(join(folder, 'fragments'));
      fragments.write(fragment('golden', { result: { runs: parseTests('  ok golden_x_fp32\n') } }));
      const { status, stdout } = runSh('build');
      assert.equal(status, 1, stdout);
      assert.match(
        stdout,
        /^-- failed after .*: cmake \(configure\): CMake Error: no such generator$/m,
      );
      assert.match(stdout, /\| build \| not measured yet: cmake \(configure\): CMake Error/);
      assert.match(stdout, /\| golden runs, float32 \| 1 of 1 passed \|/);
      const name = /^kept in .*(\/[\w-]+)\.md$/m.exec(stdout)![1]!;
      const kept = readFileSync(join(folder, 'out', `${name}.json`), 'utf8');
      assert.match(kept, /"name": "golden"/);
    });

    it('refuses parts that do not exist', function () {
      this.timeout(300_000);
      const { status, stderr } = runSh('benhc');
      assert.equal(status, 2);
      assert.match(stderr, /build, parity, .* but received 'benhc'/);
    });
  });
});
