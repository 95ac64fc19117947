/** Markers of frames (SOF0 to SOF15) without those that are tables. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
}

/**
 * The number of colour components of a JPEG file: 1 gray, 3 colour, 4 CMYK; undefined if it has no frame. Only
 * the lengths of the segments before the frame are read.
 */
export function jpegComponents(bytes: Uint8Array): number | undefined {
  let at = 2;
  while (at + 9 < bytes.length && bytes[at] === 0xff) {
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at += 1; // a byte of padding
      continue;
    }
    if (isFrame(marker)) return bytes[at + 9];
    at += 2 + bytes[at + 2]! * 256 + bytes[at + 3]!;
  }
  return undefined;
}
