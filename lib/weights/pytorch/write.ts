import { checkElements, type TensorData } from '../../types.js';
import { littleEndianBytes } from '../dtype.js';
import { pickleStateDict } from './pickler.js';
import { encodeZip, type ZipContent } from './zip-writer.js';

/**
 * A file that `torch.load(file, weights_only=True)` reads as an OrderedDict of float32 tensors, as
 * pieces; the tensors' memory is not copied.
 */
export async function encodePyTorch(
  tensors: ReadonlyMap<string, TensorData>,
): Promise<Uint8Array[]> {
  const contents: ZipContent[] = [
    { name: 'archive/data.pkl', bytes: pickleStateDict(tensors) },
    { name: 'archive/byteorder', bytes: Buffer.from('little') },
  ];
  let key = 0;
  for (const [name, tensor] of tensors) {
    checkElements(tensor, `'${name}'`);
    contents.push({ name: `archive/data/${key}`, bytes: littleEndianBytes(tensor.data) });
    key += 1;
  }
  contents.push({ name: 'archive/version', bytes: Buffer.from('3\n') });
  return encodeZip(contents);
}
