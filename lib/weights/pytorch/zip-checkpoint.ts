import { CountenanceError } from '../../errors.js';
import type { FileReader } from '../file-reader.js';
import type { Fail } from '../weights-file.js';
import { StorageTable, type PyTorchContent, type ReadStorage } from './storages.js';
import { pickleLimit, unpickle } from './unpickler.js';
import { quote } from './values.js';
import { ZipArchive } from './zip.js';

/**
 * The ZIP format: `NAME/data.pkl` is the object, `NAME/data/KEY` are the storages, `NAME/byteorder` is the
 * byte order of their elements (older writers leave it out: little).
 */
export async function readZip(reader: FileReader, fail: Fail): Promise<PyTorchContent> {
  const zip = await ZipArchive.open(reader, fail);
  const root = rootFolder(zip, reader.path, fail);
  await checkByteOrder(zip, root, reader.path);
  const pickle = zip.entries.get(`${root}/data.pkl`)!;
  if (pickle.size > pickleLimit) {
    throw fail(`its data.pkl claims ${pickle.size} bytes, more than the limit of ${pickleLimit}`);
  }
  const table = new StorageTable();
  const { value } = await unpickle(await zip.read(pickle), 0, table);

  const entryOf = (key: string) => {
    const entry = zip.entries.get(`${root}/data/${key}`);
    if (!entry) throw fail(`its storage ${quote(key)} is missing`);
    return entry;
  };
  for (const [key, byteLength] of table.byteLengths) {
    const { size } = entryOf(key);
    if (size !== byteLength) {
      throw fail(`its storage ${quote(key)} has ${size} bytes, not ${byteLength}`);
    }
  }
  const readStorage: ReadStorage = ({ key }, begin, end, signal) =>
    zip.read(entryOf(key), begin, end, signal);
  return { root: value, foreignNames: table.foreignNames, readStorage };
}

/** The only top-level folder that contains a data.pkl. */
function rootFolder(zip: ZipArchive, path: string, fail: Fail): string {
  const roots = [...zip.entries.keys()].flatMap((name) => /^([^/]+)\/data\.pkl$/.exec(name) ?? []);
  if (roots.length !== 2) throw fail(whatItHolds([...zip.entries.keys()]));
  const root = roots[1]!;
  if (zip.entries.has(`${root}/constants.pkl`)) {
    throw new CountenanceError(
      'ERR_UNSUPPORTED',
      `'${path}' is a TorchScript program, not a state dict; in Python, save the state_dict() of ` +
        'torch.jit.load(...)',
    );
  }
  return root;
}

/** Names that weights have in an archive that someone has packed. */
const weightNames = /\.(pth|pt|bin|ckpt|pkl|tar|safetensors|h5|onnx|npy)$/i;

/** What a ZIP file is that is not one of torch.save. */
function whatItHolds(names: readonly string[]): string {
  const inside = names.find((name) => weightNames.test(name) && !name.endsWith('/data.pkl'));
  if (inside === undefined) return 'it is a ZIP file without exactly one data.pkl';
  return `it is a ZIP archive around ${quote(inside)}: unpack it and give that file`;
}

async function checkByteOrder(zip: ZipArchive, root: string, path: string): Promise<void> {
  const entry = zip.entries.get(`${root}/byteorder`);
  if (!entry || entry.size > 16) return;
  const order = Buffer.from(await zip.read(entry)).toString('latin1');
  if (order.trim() === 'little') return;
  throw new CountenanceError(
    'ERR_UNSUPPORTED',
    `'${path}' was written on a machine of byte order ${quote(order)}; only little-endian is supported`,
  );
}
