import { CountenanceError } from '../../errors.js';
import { quote } from './values.js';

/**
 * The error of a file whose weights only its own code could rebuild.
 *
 * @param name what it asks for: `torch.nn.modules.linear.Linear`
 * @param tensor the tensor that depends on it, if it is not the whole file
 */
export function unsafePickle(file: string, name: string, tensor?: string): CountenanceError {
  const what = tensor === undefined ? '' : `${quote(tensor)} of `;
  return new CountenanceError(
    'ERR_UNSAFE_PICKLE',
    `${what}'${file}' asks for ${quote(name)}, which no state dict needs; nothing in it was run. ` +
      'If you trust it, save its state_dict() alone in Python',
  );
}
