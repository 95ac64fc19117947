'use strict';
// The one place that finds and opens countenance.node. CommonJS, because only CommonJS has a literal
// `require` (which bundlers follow) that the ES modules and the CommonJS modules can both reach. The build
// copies this file next to both and adjusts the paths, which are relative to lib/ here.

const path = require('node:path');

/** Sources of the addon, best first: built on this machine, then the prebuilt one of the package. */
const candidates = [
  () => require('../build/Release/countenance.node'),
  () => {
    switch (`${process.platform}-${process.arch}`) {
      case 'linux-x64':
        return require('../prebuilds/linux-x64/countenance.node');
      case 'linux-arm64':
        return require('../prebuilds/linux-arm64/countenance.node');
      case 'darwin-arm64':
        return require('../prebuilds/darwin-arm64/countenance.node');
      default:
        return undefined;
    }
  },
];

/** A file in this package's folder, from where optional packages are resolved. */
exports.packageFile = path.join(__dirname, '../package.json');

/** The CUDA plugin from its separate package, if that is installed. */
exports.packagedCudaPlugin = function packagedCudaPlugin() {
  if (`${process.platform}-${process.arch}` !== 'linux-x64') return undefined;
  try {
    return {
      file: require.resolve('countenance-cuda-linux-x64/countenance_cuda.so'),
      version: require('countenance-cuda-linux-x64/package.json').version,
    };
  } catch {
    return undefined;
  }
};

/**
 * Opens the addon. `COUNTENANCE_ADDON` names another file to open instead, for a build with sanitizers or
 * in another location.
 */
exports.loadBinding = function loadBinding() {
  const chosen = process.env.COUNTENANCE_ADDON;
  if (chosen) {
    const opened = { exports: {} };
    process.dlopen(opened, path.resolve(chosen));
    return opened.exports;
  }
  for (const candidate of candidates) {
    try {
      const binding = candidate();
      if (binding) return binding;
    } catch (error) {
      // A file that exists but does not load (wrong libc, a missing library) is the real reason.
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  const error = new Error(
    `Found no countenance.node for ${process.platform}-${process.arch}, neither built nor prebuilt`,
  );
  error.code = 'MODULE_NOT_FOUND';
  throw error;
};
