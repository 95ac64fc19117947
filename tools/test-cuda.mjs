// Tests the CUDA kernels without a GPU: their sources run on the emulator of test/cuda, plain and
// under sanitizers, and, where nvcc is, compile for every architecture of the plugin, with the test
// programs for a real GPU, which run where there is one.
// Usage: node tools/start.mjs test:cuda [plain|node|asan|tsan|nvcc...] [-- PART_OF_A_TEST_NAME...]
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import {
  buildIn,
  buildNative,
  root,
  runInteractive,
  runUnderAsan,
  runUnderTsan,
} from './steps.mjs';

/** Op cases of the kernels that stage data in shared memory: the ones that can race. */
const sharedMemoryCases = [
  'attention',
  'batch_norm',
  'clip_gradient',
  'conv2d_odd',
  'conv_norm',
  'gemm_sizes',
  'global_average_pool',
  'layer_norm',
  'linear_any',
  'objective',
  'soft_cross_entropy',
];

/** Programs for a machine with a GPU; elsewhere they say so and end with this status. */
const gpuPrograms = ['cuda_gpu_tests', 'cuda_gpu_op_tests', 'cuda_gpu_golden_tests'];
const noGpuStatus = 77;

async function runOnGpu(program, names) {
  const status = await runInteractive(program, names);
  return status === noGpuStatus ? 0 : status;
}

const variants = {
  async plain(names) {
    const folder = await build('build/cuda', [], 'cuda_loader_tests');
    return runAll([
      () => runInteractive(join(folder, 'cuda_tests'), names),
      () => runInteractive(join(folder, 'cuda_op_tests'), names),
      () => (names.length > 0 ? 0 : runInteractive(join(folder, 'cuda_loader_tests'), [])),
      () => (names.length > 0 ? 0 : variants.node([])),
    ]);
  },
  /** From Node, with the backend on the emulator as the plugin; a part of `plain`. */
  async node(names) {
    await buildNative('countenance');
    const folder = await buildIn(
      'build/cuda',
      ['-DCOUNTENANCE_CUDA=ON'],
      ...['emulated_plugin', 'foreign_plugin', 'empty_plugin'],
    );
    const mocha = join(root, 'node_modules/mocha/bin/mocha.js');
    const chosen = names.flatMap((name) => ['--grep', name]);
    return runInteractive(process.execPath, [mocha, 'test/cuda/device.test.ts', ...chosen], {
      env: {
        COUNTENANCE_CUDA_PLUGIN: join(folder, 'test/cuda/emulated_plugin.so'),
        EMULATED_DEVICES: '2',
      },
    });
  },
  async asan(names) {
    const folder = await build('build/cuda-asan', ['-DSANITIZE=address+undefined']);
    return runAll([
      () => runUnderAsan(join(folder, 'cuda_tests'), names),
      () => runUnderAsan(join(folder, 'cuda_op_tests'), names),
    ]);
  },
  async tsan(names) {
    const folder = await build('build/cuda-tsan', ['-DSANITIZE=thread']);
    const cases = names.length > 0 ? names : sharedMemoryCases;
    return runAll([
      () => runUnderTsan(join(folder, 'cuda_tests'), names),
      () => runUnderTsan(join(folder, 'cuda_op_tests'), cases),
    ]);
  },
  async nvcc(names) {
    if (spawnSync('nvcc', ['--version']).status !== 0) {
      console.log('SKIPPED: nvcc was not found, so that no kernel was compiled for a GPU');
      return 0;
    }
    const folder = await buildIn(
      'build/cuda',
      ['-DCOUNTENANCE_CUDA=ON'],
      ...['countenance_cuda', 'cuda_gpu_programs', 'emulated_plugin'],
    );
    const opTests = join(folder, 'Release/cuda_gpu_op_tests');
    return runAll([
      () => runInteractive(process.execPath, [join(root, 'test/cuda/check-ptxas.mjs'), folder]),
      // What they do with a plugin shows with the emulated one.
      () =>
        runInteractive(opTests, ['=op_relu', '=op_scale_shift'], {
          env: { COUNTENANCE_CUDA_PLUGIN: join(folder, 'test/cuda/emulated_plugin.so') },
        }),
      ...gpuPrograms.map((name) => () => runOnGpu(join(folder, 'Release', name), names)),
    ]);
  },
};

function build(folder, options, ...targets) {
  const all = ['cuda_tests', 'cuda_op_tests', ...targets];
  return buildIn(folder, ['-DCOUNTENANCE_CUDA=ON', ...options], ...all);
}

/** Runs each, also after a failure; the first status that is not 0. */
async function runAll(programs) {
  let status = 0;
  for (const program of programs) {
    const result = await program();
    status ||= result;
  }
  return status;
}

export async function testCuda(args) {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    console.log('SKIPPED: the emulator of CUDA kernels needs Linux on x86-64');
    return 0;
  }
  const end = args.indexOf('--');
  const names = end < 0 ? [] : args.slice(end + 1);
  const chosen = end < 0 ? args : args.slice(0, end);
  let status = 0;
  for (const [name, run] of Object.entries(variants)) {
    if (chosen.length > 0 ? !chosen.includes(name) : name === 'node') continue;
    const started = Date.now();
    console.log(`== CUDA kernels, ${name}`);
    const result = await run(names);
    console.log(
      `== ${name}: ${result ? 'FAILED' : 'ok'}, ${Math.round((Date.now() - started) / 1000)} s`,
    );
    status ||= result;
  }
  return status;
}
