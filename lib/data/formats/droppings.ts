/** Names of what systems, file servers and browsers leave among the files of a data set, and what to call them. */
const droppings: readonly (readonly [RegExp, string?])[] = [
  [/^__MACOSX$/],
  [/^@eaDir$/],
  [/^#recycle$/],
  [/^lost\+found$/],
  [/^\$RECYCLE\.BIN$/i],
  [/^System Volume Information$/],
  [/^Thumbs\.db$/i],
  [/^desktop\.ini$/i],
  [/^\._/, '._*'],
  [/\.crdownload$/i, '*.crdownload'],
  [/\.part$/i, '*.part'],
];

/**
 * What a name is that nobody put into a data set on purpose: copies of macOS, thumbnails of a file server, a
 * download that did not end; undefined for all others.
 */
export function droppingOf(name: string): string | undefined {
  const found = droppings.find(([pattern]) => pattern.test(name));
  return found && (found[1] ?? name);
}

/** Counts what was left out of a data set, by what it is. */
export class LeftOut {
  private readonly counts = new Map<string, number>();

  add(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** `left out, no images: *.txt (3), @eaDir`, or nothing. */
  notes(reason: string): string[] {
    const parts = [...this.counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, count]) => (count === 1 ? what : `${what} (${count})`));
    return parts.length === 0 ? [] : [`left out, ${reason}: ${parts.join(', ')}`];
  }
}
