import { CountenanceError } from '../../errors.js';
import { plainText, startLength } from '../../file-kinds.js';
import { FileReader } from '../file-reader.js';
import { weightsFile, type Fail, type WeightsFile } from '../weights-file.js';
import { collect } from './collect.js';
import { readLegacy } from './legacy.js';
import { lazyTensor } from './storages.js';
import { PickleProblem } from './values.js';
import { unsafePickle } from './unsafe.js';
import { readZip } from './zip-checkpoint.js';

/**
 * Opens a file of `torch.save`: the ZIP format (PyTorch 1.6 and later) or the legacy stream of pickles. The
 * pickle is read by a machine that knows only an allow-list of names and runs no code; see `unpickler.ts`.
 * Objects of other names are left as they are, and listed.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, ERR_UNSUPPORTED;
 *   ERR_UNSAFE_PICKLE which names what the file asks for, if all its tensors depend on it; ERR_PYTORCH which
 *   names the reason
 */
export async function openPyTorch(file: string): Promise<WeightsFile> {
  const reader = await FileReader.open(file, 'Weights file');
  const fail: Fail = (reason) => badPyTorch(file, reason);
  let isOpen = false;
  try {
    const isZip = await startsWithZip(reader);
    const content = await (isZip ? readZip(reader, fail) : readLegacy(reader, fail));
    const { tensors, metadata, notRebuilt } = collect(content.root, content.foreignNames);
    if (tensors.size === 0 && notRebuilt.length > 0) throw unsafePickle(file, notRebuilt[0]!.type);
    const lazy = [...tensors].map(
      ([name, tensor]) => [name, lazyTensor(name, tensor, content.readStorage, fail)] as const,
    );
    const format = isZip ? 'pytorch' : 'pytorch legacy';
    isOpen = true;
    return weightsFile({ path: file, format, tensors: new Map(lazy), metadata, notRebuilt }, [
      reader,
    ]);
  } catch (error) {
    if (!(error instanceof PickleProblem)) throw error;
    if (error.kind === 'unsafe') throw unsafePickle(file, error.message);
    // A pickle may be a text (protocol 0): what a text is, is only said once it is none.
    const start = await reader.read(0, Math.min(startLength, reader.size));
    throw fail(plainText(start) ?? error.message);
  } finally {
    if (!isOpen) await reader.close();
  }
}

/** An ERR_PYTORCH that names the file. */
export function badPyTorch(file: string, reason: string): CountenanceError {
  return new CountenanceError('ERR_PYTORCH', `'${file}' is not a usable PyTorch file: ${reason}`);
}

async function startsWithZip(reader: FileReader): Promise<boolean> {
  const start = await reader.read(0, Math.min(4, reader.size));
  return start[0] === 0x50 && start[1] === 0x4b;
}
