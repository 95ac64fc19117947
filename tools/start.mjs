// Runs a command of package.json after installing and building whatever it needs, so that each of
// them works as the first command in a fresh clone. Usage: node tools/start.mjs COMMAND [ARGUMENT...]
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildLibrary } from './build-library.mjs';
import { packageCuda, preparePackage } from './packages.mjs';
import {
  StepError,
  buildCuda,
  buildNative,
  buildSanitized,
  ensurePackages,
  requireNvcc,
  root,
  runInteractive,
  runNativeTests,
  runTogether,
  runTypeScript,
  runUnderAsan,
  runUnderTsan,
  together,
} from './steps.mjs';
import { testCuda } from './test-cuda.mjs';
import { testNode } from './test-node.mjs';
import { installPeers } from './test-peers.mjs';

/** The tests that need only the library. */
const ordinaryTests = [
  '.',
  'addon',
  'bench',
  'cli',
  'data',
  'export',
  'faces',
  'images',
  'model',
  'predict',
  'project',
  'text',
  'train',
  'types',
  'weights',
].map((folder) => (folder === '.' ? 'test/*.test.ts' : `test/${folder}/*.test.ts`));
/** Processes the tests are spread over. More of them balance better, but each one costs a start. */
const shareCount = 10;
/** Those that measure how late a timer is: nothing else runs alongside them. */
const timedTests = ['test/predict/concurrency.test.ts', 'test/predict/predictor.test.ts'];

/** Mocha's command line for the test files among the arguments, or for `all`. */
function mochaArguments(args, all = ordinaryTests) {
  const files = args.some((argument) => argument.endsWith('.ts')) ? [] : all;
  return [join(root, 'node_modules/mocha/bin/mocha.js'), ...files, ...args];
}

const mocha = (args, all, env) =>
  runInteractive(process.execPath, mochaArguments(args, all), { env });

/** All tests of the library, one process per core; with mocha's arguments, in one process. */
async function testLibrary(args) {
  if (args.length > 0) return mocha(args);
  const files = ordinaryTests
    .flatMap((pattern) => filesLike(pattern))
    .filter((file) => !timedTests.includes(file));
  const shares = Array.from({ length: shareCount }, (_, share) =>
    files.filter((_, i) => i % shareCount === share),
  );
  const statuses = await runTogether(
    shares.map(
      (share) => (write) => runInteractive(process.execPath, mochaArguments(share), { write }),
    ),
  );
  return together([...statuses, await mocha(timedTests)]);
}

/** The files that match a pattern `folder/*.extension`. */
function filesLike(pattern) {
  const [folder, extension] = pattern.split('/*');
  const names = readdirSync(join(root, folder)).filter((name) => name.endsWith(extension));
  return names.sort().map((name) => `${folder}/${name}`);
}

const nativeTests = (args) => runNativeTests(join(root, 'build/native_tests'), args);

const commands = {
  async demo(args) {
    await buildNative('countenance');
    return runTypeScript('examples/demo.ts', args);
  },
  async bench(args) {
    await buildNative('countenance');
    return runTypeScript('bench/index.ts', args);
  },
  async test(args) {
    await buildNative('countenance', 'native_tests', 'native_profiles');
    const native = await nativeTests([]);
    const js = await testLibrary(args);
    return native || js;
  },
  async 'test:native'(args) {
    await buildNative('native_tests');
    return nativeTests(args);
  },
  async 'test:js'(args) {
    await buildNative('countenance');
    return testLibrary(args);
  },
  async 'test:peers'(args) {
    const env = await installPeers();
    await buildNative('countenance');
    return mocha(args, ['test/peers/*.test.ts'], env);
  },
  async 'test:asan'(args) {
    const program = await buildSanitized('asan', 'address+undefined');
    return runNativeTests(program, args, runUnderAsan);
  },
  async 'test:tsan'(args) {
    const program = await buildSanitized('tsan', 'thread');
    return runNativeTests(program, args, runUnderTsan);
  },
  'test:cuda': testCuda,
  async 'test:node'(args) {
    await buildNative('countenance');
    return testNode(args, mochaArguments);
  },
  async 'test:package'() {
    await preparePackage();
    return mocha(['test/package/package.test.ts']);
  },
  async build() {
    await buildNative('countenance');
    await buildLibrary();
  },
  async 'build:native'() {
    await buildNative('countenance');
  },
  /** The plugin for GPUs, beside the addon. Arguments are CMake's: -DCUDA_ARCHITECTURES=90a-real */
  async 'build:cuda'(args) {
    requireNvcc();
    const folder = await buildCuda(args, 'countenance_cuda');
    const release = join(root, 'build/Release');
    mkdirSync(release, { recursive: true });
    const name = 'countenance_cuda.so';
    copyFileSync(join(folder, 'Release', name), join(release, name));
  },
  /** The plugin as the package countenance-cuda-linux-x64, a tarball in a folder (default: here). */
  async 'package:cuda'([folder = '.']) {
    console.log(await packageCuda(folder));
  },
  /** lib/description.ts, after a change of a table in native/. */
  async describe() {
    await buildNative('countenance');
    return runInteractive(process.execPath, [join(root, 'tools/describe.mjs')]);
  },
  async 'build:lib'() {
    await buildLibrary();
  },
  package: preparePackage,
};

const [name = '', ...args] = process.argv.slice(2);
const command = commands[name];
if (!command) {
  console.error(`Expected one of ${Object.keys(commands).join(', ')} but received '${name}'`);
  process.exit(2);
}
try {
  await ensurePackages();
  process.exitCode = (await command(args)) ?? 0;
} catch (error) {
  console.error(error instanceof StepError ? `\n${error.message}` : error);
  process.exitCode = 1;
}
