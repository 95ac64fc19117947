/**
 * Opens countenance.node; the module's exports, as N-API made them. `lib/native.ts` gives them types.
 * @throws Error with code `MODULE_NOT_FOUND` when there is none, or the loader's own error when the
 * file that was found does not open.
 */
export function loadBinding(): unknown;
/** The plugin of the package countenance-cuda-linux-x64 and that package's version. */
export function packagedCudaPlugin(): { file: string; version: string } | undefined;
/** Path of this package's package.json. */
export const packageFile: string;
