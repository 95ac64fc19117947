/**
 * Segments that PyTorch's wrappers of modules put into names: torch.compile, DataParallel and
 * DistributedDataParallel, fully sharded data parallel, activation checkpointing. They can stand before the
 * whole network or inside it: `layer1._orig_mod.0.conv1.weight`.
 */
const wrappers: ReadonlySet<string> = new Set([
  '_orig_mod',
  'module',
  '_fsdp_wrapped_module',
  '_checkpoint_wrapped_module',
]);

const anyWrapper = new RegExp(`(^|\\.)(${[...wrappers].join('|')})\\.`);

/** A name without the wrappers inside it. One at its start would be part of the prefix, and stays. */
export function withoutWrappers(name: string): string {
  if (!anyWrapper.test(name)) return name;
  const segments = name.split('.');
  return segments.filter((segment, i) => i === 0 || !wrappers.has(segment)).join('.');
}

/**
 * What precedes `anchor` at the end of a name, between whose segments there may be wrappers: '' or a text
 * that ends with a dot. Undefined if the name does not end with it.
 */
export function prefixBefore(anchor: string, name: string): string | undefined {
  if (name.endsWith(anchor)) {
    const prefix = name.slice(0, -anchor.length);
    return prefix === '' || prefix.endsWith('.') ? prefix : undefined;
  }
  if (!anyWrapper.test(name)) return undefined;
  const segments = name.split('.');
  for (const wanted of anchor.split('.').toReversed()) {
    while (wrappers.has(segments.at(-1) ?? '')) segments.pop();
    if (segments.pop() !== wanted) return undefined;
  }
  return segments.map((segment) => `${segment}.`).join('');
}
