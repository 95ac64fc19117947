import { existsSync, readFileSync } from 'node:fs';
import { builtinModules, createRequire } from 'node:module';
import { dirname, resolve } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import ts from 'typescript';

/** What Jest and vitest's vmThreads copy into the realm of a test. */
// prettier-ignore
const given = [
  'process', 'Buffer', 'URL', 'AbortController', 'AbortSignal', 'setTimeout', 'clearTimeout', 'setImmediate',
  'clearImmediate', 'queueMicrotask', 'console', 'performance', 'structuredClone', 'TextDecoder', 'TextEncoder',
  'Blob', 'Event', 'EventTarget',
];

type Load = (file: string) => Record<string, unknown>;
type Wrapped = (
  exports: object,
  require: unknown,
  module: object,
  file: string,
  folder: string,
) => void;

/**
 * A loader of this project's modules in a realm of their own, whose arrays and errors are not those of Node, as
 * test runners do it.
 *
 * @param packagesToo load the packages they need there as well, instead of in Node's realm
 */
export function loaderInRealm(packagesToo: boolean): Load {
  const values = globalThis as unknown as Record<string, unknown>;
  const context = createContext(Object.fromEntries(given.map((name) => [name, values[name]])));
  runInContext('globalThis.global = globalThis', context);
  const loaded = new Map<string, { exports: Record<string, unknown> }>();

  const load: Load = (file) => {
    const known = loaded.get(file);
    if (known) return known.exports;
    const module = { exports: {} as Record<string, unknown> };
    loaded.set(file, module);
    const source = readFileSync(file, 'utf8');
    if (file.endsWith('.json'))
      return (module.exports = JSON.parse(source) as typeof module.exports);
    const code = file.endsWith('.ts') ? compile(source) : source;
    const wrapped = `(function (exports, require, module, __filename, __dirname) {${code}\n})`;
    const run = runInContext(wrapped, context, { filename: file }) as Wrapped;
    run(module.exports, requireFrom(file), module, file, dirname(file));
    return module.exports;
  };

  const requireFrom = (file: string): unknown => {
    const own = createRequire(file);
    const find = (id: string): string => {
      const source = /^\.{1,2}\/.*\.js$/.test(id)
        ? resolve(dirname(file), `${id.slice(0, -3)}.ts`)
        : id;
      return existsSync(source) ? source : own.resolve(id);
    };
    const require = (id: string): unknown => {
      const isOutside =
        id.startsWith('node:') || builtinModules.includes(id) || id.endsWith('.node');
      if (isOutside || (!/^[./]/.test(id) && !packagesToo)) return own(id);
      const path = find(id);
      return path.endsWith('.node') ? own(path) : load(path);
    };
    return Object.assign(require, { resolve: own.resolve });
  };
  return load;
}

function compile(source: string): string {
  const { ModuleKind, ScriptTarget } = ts;
  const compilerOptions = {
    ...{ module: ModuleKind.CommonJS, target: ScriptTarget.ES2022, esModuleInterop: true },
    importHelpers: false,
  };
  return ts.transpileModule(source, { compilerOptions }).outputText;
}
