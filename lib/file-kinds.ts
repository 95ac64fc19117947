/**
 * Says what a file is that was given for something else: a download that went wrong, an archive that was not
 * unpacked, a file of another program. Each reader asks once it does not recognise its own format.
 */

/** How much of a file's start is looked at. */
export const startLength = 512;

/** A kind of file by its first bytes, as the rest of a sentence that starts with "it is". */
interface Kind {
  readonly what: string;
  readonly starts: readonly (string | RegExp)[];
  /** Where the first bytes are, if not at the start. */
  readonly at?: number;
}

/** Files that stand in for any other file. */
const standIns: readonly Kind[] = [
  {
    what: "a Git LFS pointer, not the file itself: run 'git lfs pull', or download the file",
    starts: ['version https://git-lfs.github.com/', 'version https://hawser.github.com/'],
  },
  {
    what: 'an HTML page, not the file that it leads to: download the file itself',
    starts: [
      /^(\xef\xbb\xbf)?\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body|script|meta)\b/is,
    ],
  },
  {
    what: "an XML text, often a server's answer in place of the file: download it again",
    starts: [/^(\xef\xbb\xbf)?\s*<\?xml\b/i],
  },
];

const unpack = 'unpack it and give the file inside';

/** Formats of other programs. */
const formats: readonly Kind[] = [
  { what: `a gzip archive: ${unpack}`, starts: ['\x1f\x8b'] },
  { what: `a bzip2 archive: ${unpack}`, starts: [/^BZh[1-9]/] },
  { what: `an xz archive: ${unpack}`, starts: ['\xfd7zXZ\0'] },
  { what: `a zstd archive: ${unpack}`, starts: ['\x28\xb5\x2f\xfd'] },
  { what: `a 7z archive: ${unpack}`, starts: ['7z\xbc\xaf\x27\x1c'] },
  { what: `a RAR archive: ${unpack}`, starts: ['Rar!\x1a\x07'] },
  { what: `a tar archive: ${unpack}`, starts: ['ustar'], at: 257 },
  { what: 'an HDF5 file, as Keras writes it', starts: ['\x89HDF\r\n\x1a\n'] },
  { what: 'a GGUF file', starts: ['GGUF'] },
  { what: 'a PDF document', starts: ['%PDF-'] },
  { what: 'an image', starts: ['\x89PNG\r\n', '\xff\xd8\xff', 'GIF8', /^RIFF....WEBP/s] },
];

/** Formats that are read here, though not by every reader. */
const ownFormats: readonly Kind[] = [
  { what: `a ZIP archive: ${unpack}`, starts: ['PK\x03\x04', 'PK\x05\x06'] },
  { what: 'a NumPy array (.npy)', starts: ['\x93NUMPY'] },
  {
    what: 'a pickle, such as a PyTorch file',
    starts: ['\x80\x02', '\x80\x03', '\x80\x04', '\x80\x05'],
  },
  { what: 'a safetensors file', starts: [/^.{5}\0{3}\{/s] },
];

/**
 * Why a file cannot be of any format: it is empty, or stands in for another. Undefined for all others.
 *
 * @param start at least the first {@link startLength} bytes, or the whole file
 */
export function standIn(start: Uint8Array): string | undefined {
  if (start.length === 0) return 'it is empty';
  return find(start, standIns);
}

/** {@link standIn}, or a format that is read nowhere here. */
export function foreignKind(start: Uint8Array): string | undefined {
  return standIn(start) ?? find(start, formats);
}

/** {@link foreignKind}, or a format that is read here, but not by the caller; or plain text. */
export function otherKind(start: Uint8Array): string | undefined {
  return foreignKind(start) ?? find(start, ownFormats) ?? plainText(start);
}

/** Characters of a text that are shown. */
const shown = 40;

/** For a file that is a text, such as a server's message: how it starts. */
export function plainText(start: Uint8Array): string | undefined {
  let text: string;
  try {
    // A character may be cut at the end of what is looked at.
    const stream = start.length >= startLength;
    text = new TextDecoder('utf-8', { fatal: true }).decode(start.subarray(0, startLength), {
      stream,
    });
  } catch {
    return undefined;
  }
  // eslint-disable-next-line no-control-regex -- control characters are what it looks for
  if (text.trim() === '' || /[\x00-\x08\x0e-\x1f\x7f]/.test(text)) return undefined;
  const line = text.trim().replace(/\s+/g, ' ');
  return `it is a text that starts with '${line.length > shown ? `${line.slice(0, shown)}...` : line}'`;
}

function find(start: Uint8Array, kinds: readonly Kind[]): string | undefined {
  const text = Buffer.from(start.subarray(0, startLength)).toString('latin1');
  const found = kinds.find(({ starts, at = 0 }) => {
    const rest = text.slice(at);
    return starts.some((each) =>
      typeof each === 'string' ? rest.startsWith(each) : each.test(rest),
    );
  });
  return found && `it is ${found.what}`;
}
