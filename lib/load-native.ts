import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { loadBinding, packageFile } from './binding.cjs';
import { findCudaPlugin } from './cuda-plugin.js';
import {
  CountenanceError,
  isErrorCode,
  messageOf,
  systemCode,
  toCountenanceError,
} from './errors.js';
import type { NativeAddon, NativeCudaInfo, NativeInfo } from './native.js';
import { version } from './version.js';

let loaded: NativeAddon | undefined;

/**
 * The native addon, loaded on first use, so that importing the package never fails.
 *
 * @throws CountenanceError ERR_NATIVE_LOAD that says how to get it
 */
export function nativeAddon(): NativeAddon {
  loaded ??= open();
  return loaded;
}

function open(): NativeAddon {
  try {
    const addon = loadBinding() as NativeAddon;
    const plugin = findCudaPlugin();
    if (plugin) addon.setCudaPlugin(plugin.file, plugin.problem);
    return addon;
  } catch (error) {
    const where = `${process.platform}-${process.arch}, Node ${process.versions.node}`;
    throw new CountenanceError(
      'ERR_NATIVE_LOAD',
      `Could not load the native addon (${where}): ${messageOf(error)}. ${remedy(error)}`,
      { cause: error },
    );
  }
}

/** How to fix a failed load: a clone builds the addon, an installed package contains it. */
function remedy(error: unknown): string {
  if (process.env['COUNTENANCE_ADDON']) {
    return 'COUNTENANCE_ADDON names the file to load: correct or unset it';
  }
  if (existsSync(join(dirname(packageFile), 'tools/start.mjs'))) {
    return 'Build it with `npm run build:native` (needs cmake and a C++20 compiler)';
  }
  return systemCode(error) === 'MODULE_NOT_FOUND'
    ? 'The package has none for this system: build it from the sources of countenance and set ' +
        'COUNTENANCE_ADDON to the path of countenance.node'
    : 'It was built for another system or is damaged: install the package again';
}

/**
 * Calls the addon; its errors, plain objects with a code, become CountenanceErrors with the caller's stack.
 */
export function callNative<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw fromNative(error);
  }
}

/** {@link callNative} for the addon's promises. */
export async function awaitNative<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromNative(error);
  }
}

/** Native messages start in lower case and contain NaN as C prints it. */
function fromNative(error: unknown): CountenanceError {
  const { code, message } = toCountenanceError(error);
  if (error instanceof CountenanceError || !isErrorCode(systemCode(error))) {
    return toCountenanceError(error);
  }
  const text = message.charAt(0).toUpperCase() + message.slice(1);
  return new CountenanceError(code, text.replace(/(?<!\w)-?nan\b/g, 'NaN'), { cause: error });
}

/** The installation and what it can use. */
export interface Info {
  /** Version of the package. */
  readonly version: string;
  readonly platform: string;
  readonly node: string;
  readonly cpu: {
    /** Instruction set of the selected kernels: `avx512`, `avx2` or `portable`. */
    readonly instructionSet: NativeInfo['isa'];
    /** Cores this process may use: the default number of threads. */
    readonly threads: number;
  };
  /** Whether `device: 'cuda'` works and with what, or why it does not. */
  readonly cuda: NativeCudaInfo;
}

/**
 * Returns what this installation can use.
 *
 * @throws CountenanceError ERR_NATIVE_LOAD
 * @example
 * info().cpu; // { instructionSet: 'avx512', threads: 8 }
 * info().cuda.devices; // [{ index: 0, name: 'NVIDIA H100', computeCapability: '9.0', memoryBytes }]
 */
export function info(): Info {
  const { isa, threads, cuda } = callNative(() => nativeAddon().info());
  return {
    version,
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node,
    cpu: { instructionSet: isa, threads },
    cuda,
  };
}
