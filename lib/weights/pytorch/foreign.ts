/**
 * Python names outside the allow-list, and what a pickle would build with them. They are kept as what they
 * are: a text, and the values that were to be passed to it. Nothing is looked up, and nothing is called.
 */

/** A Python name outside the allow-list (a class, a function). */
export class ForeignName {
  constructor(
    /** `module.name`. */
    readonly type: string,
  ) {}
}

/** What a call of a foreign name would return. */
export class ForeignObject {
  constructor(
    /** `module.name` of what would be called. */
    readonly type: string,
    /**
     * What the object would be made from, none of it copied: what would be called, its arguments, states,
     * items (in a Map) and elements (in an array). A tensor in here depends on code that is never run.
     */
    readonly given: unknown[],
  ) {}
}

/** Functions with which pickles reach a class: protocol 2 and later do for nested classes and enums. */
const detours =
  /^(__builtin__|builtins)\.getattr$|^(copy_reg|copyreg)\.(_reconstructor|__newobj__)$/;

/** What a call of a foreign name or object would return; `Outer.Inner` for `getattr(Outer, 'Inner')`. */
export function foreignCall(
  callee: ForeignName | ForeignObject,
  args: readonly unknown[],
): ForeignObject {
  const [owner, member] = args;
  const isDetour = detours.test(callee.type) && isForeign(owner);
  if (!isDetour) return new ForeignObject(callee.type, [callee, args]);
  const isMember = callee.type.endsWith('.getattr') && typeof member === 'string';
  const type = isMember ? nameOf(owner.type, member) : owner.type;
  return new ForeignObject(type, [callee, args]);
}

/** True for a value that only code outside the allow-list could build. */
export function isForeign(value: unknown): value is ForeignName | ForeignObject {
  return value instanceof ForeignName || value instanceof ForeignObject;
}

/** Longest name that is kept; a longer one is cut, and is on no allow-list. */
const longestName = 1024;

/** The text of a name: cut where it is longer than any name in use. */
export function nameOf(module: string, name: string): string {
  return `${module.slice(0, longestName)}.${name.slice(0, longestName)}`.slice(0, longestName);
}
