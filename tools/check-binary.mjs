// Checks that Linux binaries run on older systems: they need no newer version of the C library
// than the baseline and no other C++ library, and nothing is undefined that neither the C
// library nor Node defines. Usage: node tools/check-binary.mjs FILE...
import { spawnSync } from 'node:child_process';

/** Node 20's own binaries need this version. */
const baseline = [2, 28];
const libraries =
  /^(libc|libm|libpthread|libdl|librt|libgcc_s|ld-linux-(x86-64|aarch64))\.so\.\d+$/;

function objdump(...args) {
  const { status, stdout, error } = spawnSync('objdump', args, {
    encoding: 'utf8',
    maxBuffer: 1e9,
  });
  if (status !== 0) throw new Error(`objdump ${args.join(' ')} failed: ${error ?? ''}`);
  return stdout;
}

function problemsOf(file) {
  const problems = [];
  for (const [, library] of objdump('-p', file).matchAll(/^\s*NEEDED\s+(\S+)/gm)) {
    if (!libraries.test(library)) problems.push(`needs ${library}`);
  }
  for (const line of objdump('-T', file).split('\n')) {
    const undefinedSymbol =
      /^\S+\s+(w?)\s*D?[FO]?\s*\*UND\*\s+\S+\s+(?:\(?([A-Z]+)_([\d.]+)\)?\s+)?(\S+)$/;
    const match = undefinedSymbol.exec(line);
    if (!match) continue;
    const [, weak, library, version, symbol] = match;
    if (library === 'GLIBC') {
      const [major, minor] = version.split('.').map(Number);
      if (major > baseline[0] || (major === baseline[0] && minor > baseline[1])) {
        problems.push(`needs ${symbol} of glibc ${version}`);
      }
    } else if (library !== 'GCC' && !weak && !/^napi_|^node_api_/.test(symbol)) {
      problems.push(
        `needs ${symbol}${library ? ` of ${library}_${version}` : ', which nobody has'}`,
      );
    }
  }
  return problems;
}

const files = process.argv.slice(2);
if (files.length === 0) {
  console.error('Usage: node tools/check-binary.mjs FILE...');
  process.exit(2);
}
for (const file of files) {
  const problems = problemsOf(file);
  for (const problem of problems) console.log(`${file} ${problem}`);
  if (problems.length > 0) process.exitCode = 1;
  else console.log(`${file} runs with glibc ${baseline.join('.')} or later`);
}
