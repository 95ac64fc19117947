import { invalidArgument } from '../check.js';

/** {@link defaultFormats} */
const photographs = ['jpeg', 'png', 'webp', 'avif', 'gif', 'tiff'] as const;

/**
 * Formats that a program may allow. sharp as it is installed decodes all but the last four, for which libvips
 * has to be built with their libraries.
 */
export const imageFormats = [...photographs, 'svg', 'pdf', 'heic', 'jxl', 'jp2'] as const;
/** A format of encoded images. */
export type ImageFormat = (typeof imageFormats)[number];

/**
 * The formats decoded by default: photographs come in these. SVG is a program for a renderer, which a file of
 * 2 kB can keep busy for seconds, and is therefore only decoded where it is asked for.
 */
export const defaultFormats: readonly ImageFormat[] = photographs;

/**
 * Checks an option that lists formats, and returns it.
 *
 * @throws CountenanceError ERR_INVALID_ARGUMENT
 */
export function checkFormats(value: unknown, name = 'formats'): readonly ImageFormat[] {
  if (value === undefined) return defaultFormats;
  const known: readonly unknown[] = imageFormats;
  const isList = Array.isArray(value) && value.length > 0;
  const wrong: unknown = isList ? value.find((format) => !known.includes(format)) : value;
  if (isList && wrong === undefined) return value as readonly ImageFormat[];
  throw invalidArgument(`a list of formats among ${imageFormats.join(', ')}`, name, wrong);
}
