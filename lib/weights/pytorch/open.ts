import { CountenanceError } from '../../errors.js';
import { FileReader } from '../file-reader.js';
import { weightsFile, type Fail, type WeightsFile } from '../weights-file.js';
import { collect } from './collect.js';
import { readLegacy } from './legacy.js';
import { lazyTensor } from './storages.js';
import { PickleProblem, quote } from './values.js';
import { readZip } from './zip-checkpoint.js';

/**
 * Opens a file of `torch.save`: the ZIP format (PyTorch 1.6 and later) or the legacy stream of pickles. The
 * pickle is read by a machine that knows only an allow-list of names and runs no code; see `unpickler.ts`.
 *
 * @throws CountenanceError ERR_FILE_NOT_FOUND, ERR_NOT_A_FILE, ERR_READ, ERR_UNSUPPORTED;
 *   ERR_UNSAFE_PICKLE which names what the file asks for; ERR_PYTORCH which names the reason
 */
export async function openPyTorch(file: string): Promise<WeightsFile> {
  const reader = await FileReader.open(file, 'Weights file');
  const fail: Fail = (reason) =>
    new CountenanceError('ERR_PYTORCH', `'${file}' is not a usable PyTorch file: ${reason}`);
  try {
    const isZip = await startsWithZip(reader);
    const content = await (isZip ? readZip(reader, fail) : readLegacy(reader, fail));
    const { tensors, metadata } = collect(content.root);
    const lazy = [...tensors].map(
      ([name, tensor]) => [name, lazyTensor(name, tensor, content.readStorage, fail)] as const,
    );
    const format = isZip ? 'pytorch' : 'pytorch legacy';
    return weightsFile({ path: file, format, tensors: new Map(lazy), metadata }, [reader]);
  } catch (error) {
    await reader.close();
    if (!(error instanceof PickleProblem)) throw error;
    throw error.kind === 'unsafe' ? unsafe(file, error) : fail(error.message);
  }
}

async function startsWithZip(reader: FileReader): Promise<boolean> {
  const start = await reader.read(0, Math.min(4, reader.size));
  return start[0] === 0x50 && start[1] === 0x4b;
}

function unsafe(file: string, { message }: PickleProblem): CountenanceError {
  return new CountenanceError(
    'ERR_UNSAFE_PICKLE',
    `'${file}' asks for ${quote(message)}, which no state dict needs; nothing in it was run. ` +
      'If you trust it, save its state_dict() alone in Python',
  );
}
