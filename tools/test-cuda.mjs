// Tests the CUDA kernels without a GPU: their sources run on the emulator of test/cuda, plain and
// under sanitizers, and, if nvcc is installed, compile for every architecture of the plugin, with the test
// programs for a real GPU, which run if there is one.
// Usage: node tools/start.mjs test:cuda [plain|node|golden|asan|tsan|nvcc|package...] [-- PART_OF_A_TEST_NAME...]
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageCuda, preparePackage } from './packages.mjs';
import {
  buildCuda,
  buildIn,
  buildNative,
  hasNvcc,
  inShares,
  noTestStatus,
  root,
  runInteractive,
  runTogether,
  runUnderAsan,
  runUnderTsan,
  together,
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
];

/** Variants that another one also runs. */
const parts = ['node', 'golden', 'package'];

/** Programs for a machine with a GPU; on other machines they say so and end with this status. */
const gpuPrograms = ['cuda_gpu_tests', 'cuda_gpu_op_tests', 'cuda_gpu_golden_tests'];
const noGpuStatus = 77;

/** A program that `runAll` can run. */
const program =
  (command, args, { env, run = runInteractive } = {}) =>
  (write) =>
    run(command, args, { env, write });

const script = (file, ...args) => program(process.execPath, [join(root, file), ...args]);

const mocha = (args, env) =>
  program(process.execPath, [join(root, 'node_modules/mocha/bin/mocha.js'), ...args], { env });

/** The emulator's own tests, and the op cases in shares that run in parallel. */
function emulated(folder, names, cases = names, run = runInteractive) {
  return [
    program(join(folder, 'cuda_tests'), names, { run }),
    ...inShares(join(folder, 'cuda_op_tests'), cases, run),
  ];
}

/** A recorded run of the reference that takes half a minute; the others take minutes. */
const quickGolden = 'golden_resnet18_48_pairwise_fp32';

/** The emulated plugin as the programs for a GPU open it. */
const emulatedPlugin = (folder) => ({
  COUNTENANCE_CUDA_PLUGIN: join(folder, 'test/cuda/emulated_plugin.so'),
  EMULATED_MEMORY: '8192', // MiB
});

const golden = (folder, ...names) =>
  program(join(folder, 'Release/cuda_gpu_golden_tests'), names, { env: emulatedPlugin(folder) });

const variants = {
  async plain(names) {
    const targets = ['cuda_loader_tests', 'cuda_gpu_golden_tests', ...nodePlugins];
    const folder = await buildCuda([], ...emulatorTests, ...targets);
    if (names.length === 0) await buildNative('countenance');
    return runAll([
      ...(names.length > 0 ? [] : [...nodeTests(folder), golden(folder, `=${quickGolden}`)]),
      ...emulated(folder, names),
      program(join(folder, 'cuda_loader_tests'), names),
    ]);
  },
  /** From Node, with the backend on the emulator as the plugin; a part of `plain`. */
  async node(names) {
    await buildNative('countenance');
    const folder = await buildCuda([], ...nodePlugins);
    return runAll(nodeTests(folder, names));
  },
  /** The recorded runs of the reference, one process each; takes an hour, or only the named ones. */
  async golden(names) {
    const targets = ['cuda_gpu_golden_tests', 'emulated_plugin'];
    const folder = await buildCuda([], ...targets);
    const list = spawnSync(join(folder, 'Release/cuda_gpu_golden_tests'), ['--list'], {
      encoding: 'utf8',
      env: { ...process.env, ...emulatedPlugin(folder) },
    });
    const chosen = list.stdout
      .split('\n')
      .filter((test) => test && (names.length === 0 || names.some((name) => test.includes(name))));
    return runAll(chosen.map((test) => golden(folder, `=${test}`)));
  },
  async asan(names) {
    const folder = await buildSanitized('asan', 'address+undefined');
    return runAll(emulated(folder, names, names, runUnderAsan));
  },
  async tsan(names) {
    const folder = await buildSanitized('tsan', 'thread');
    const cases = names.length > 0 ? names : sharedMemoryCases;
    return runAll(emulated(folder, names, cases, runUnderTsan));
  },
  async nvcc(names) {
    if (!hasNvcc()) {
      console.log('SKIPPED: nvcc was not found, so that no kernel was compiled for a GPU');
      return 0;
    }
    const targets = ['countenance_cuda', 'cuda_gpu_programs', 'emulated_plugin'];
    const folder = await buildCuda([], ...targets);
    const built = await runAll([
      script('test/cuda/check-ptxas.mjs', folder),
      script('tools/check-binary.mjs', join(folder, 'Release/countenance_cuda.so')),
      // The emulated plugin shows what they do with a plugin.
      program(join(folder, 'Release/cuda_gpu_op_tests'), ['=op_relu', '=op_scale_shift'], {
        env: emulatedPlugin(folder),
      }),
    ]);
    const packed = names.length > 0 ? 0 : await variants.package();
    let onGpu = noTestStatus;
    for (const name of gpuPrograms) {
      const status = await runInteractive(join(folder, 'Release', name), names);
      onGpu = together([onGpu, status === noGpuStatus ? 0 : status]);
    }
    return built || packed || onGpu;
  },
  /** The plugin's own npm package, installed beside countenance; a part of `nvcc`. */
  async package() {
    if (!hasNvcc()) {
      console.log('SKIPPED: nvcc was not found, so that there is no plugin to pack');
      return 0;
    }
    await preparePackage();
    const tarball = await packageCuda('build-cuda/packed');
    return runAll([mocha(['test/package/cuda.test.ts'], { COUNTENANCE_CUDA_TARBALL: tarball })]);
  },
};

/** The plugins that the Node tests open. */
const nodePlugins = ['emulated_plugin', 'foreign_plugin', 'empty_plugin'];

function nodeTests(folder, names = []) {
  const env = {
    COUNTENANCE_CUDA_PLUGIN: join(folder, 'test/cuda/emulated_plugin.so'),
    EMULATED_DEVICES: '2',
  };
  const chosen = names.flatMap((name) => ['--grep', name]);
  const files = ['device-fit', 'device-training', 'device'];
  const tests = files.map((name) => mocha([`test/cuda/${name}.test.ts`, ...chosen], env));
  if (names.length > 0) return tests;
  // Includes the warpgroup products.
  const of90 = ['test/cuda/device-training.test.ts', '--grep', 'bfloat16'];
  return [...tests, mocha(of90, { ...env, EMULATED_CAPABILITY: '90' })];
}

/** The programs that run kernels on the emulator. */
const emulatorTests = ['cuda_tests', 'cuda_op_tests'];

function buildSanitized(name, sanitizers) {
  const options = ['-DCOUNTENANCE_CUDA=ON', `-DSANITIZE=${sanitizers}`];
  return buildIn(`build-cuda-${name}`, options, ...emulatorTests);
}

const runAll = async (programs) => together(await runTogether(programs));

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
    if (chosen.length > 0 ? !chosen.includes(name) : parts.includes(name)) continue;
    const started = Date.now();
    console.log(`== CUDA kernels, ${name}`);
    const result = await run(names);
    const end = result === noTestStatus ? 'FAILED: no test of that name' : result ? 'FAILED' : 'ok';
    console.log(`== ${name}: ${end}, ${Math.round((Date.now() - started) / 1000)} s`);
    status ||= result;
  }
  return status;
}
