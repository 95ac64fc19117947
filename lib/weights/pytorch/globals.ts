/**
 * The allow-list: every Python name that means something here, with what is built in its place. Any other
 * name stays a text, and what a file would build with it stays the list of its parts (`foreign.ts`).
 *
 * To add one, add a line; what it builds must be plain data.
 */
import { ForeignName, ForeignObject, isForeign, nameOf } from './foreign.js';
import { NumpyArray, numpyScalar, NumpyType } from './numpy.js';
import { storageTypes, torchTypes, untyped, viewOf, type TorchType } from './tensors.js';
import {
  Attributes,
  Global,
  PickleProblem,
  toSizes,
  Tuple,
  type Build,
  type Charge,
} from './values.js';

/** Bytes charged for an entry of a new dictionary. */
const bytesOfEntry = 64;

/** No listed module or name is longer. */
const longestName = 64;

/** Names whose value does not depend on what it is made of: containers, and attributes. */
const containers: ReadonlySet<string> = new Set([
  ...['collections.OrderedDict', 'collections.Counter', 'collections.defaultdict'],
  ...['collections.deque', 'builtins.dict', 'builtins.list', 'builtins.tuple', 'builtins.set'],
  ...['builtins.frozenset', 'argparse.Namespace', 'types.SimpleNamespace'],
]);

/** A constructor whose result is foreign where an argument is: a tensor of a foreign class, for example. */
function ofPlainData(build: Build): Build {
  return (args, charge) => {
    const foreign = args.find(isForeign);
    return foreign ? new ForeignObject(foreign.type, [args]) : build(args, charge);
  };
}

/** The types that markers of the allow-list stand for. */
const typeOfMarker = new WeakMap<Global, TorchType>();

/** The element type a storage class or dtype stands for. */
export function markedType(value: unknown): TorchType | undefined {
  return value instanceof Global ? typeOfMarker.get(value) : undefined;
}

/** What a container of something foreign is: foreign as well. */
function foreignFrom(items: unknown): ForeignObject | undefined {
  return isForeign(items) ? new ForeignObject(items.type, [items]) : undefined;
}

/** Built from a dictionary, which it shares, or from pairs, as Python 2 wrote an OrderedDict. */
const dictionary: Build = ([items = []], charge) => {
  if (items instanceof Map) return items;
  const foreign = foreignFrom(items);
  if (foreign) return foreign;
  const pairs = toList(items);
  charge(pairs.length * bytesOfEntry);
  return new Map(pairs.map((pair) => toList(pair) as [unknown, unknown]));
};

/** A list or set that shares the items it is built from: a pickle cannot make it copy them repeatedly. */
const collection: Build = ([items = []]) => foreignFrom(items) ?? toList(items);

const table: Readonly<Record<string, Readonly<Record<string, Build | undefined>>>> = {
  collections: {
    OrderedDict: dictionary,
    Counter: dictionary,
    defaultdict: ([, ...items], charge) => dictionary(items, charge),
    deque: collection,
  },
  builtins: {
    dict: dictionary,
    list: collection,
    tuple: ([items = []]) => foreignFrom(items) ?? new Tuple(toList(items)),
    set: collection,
    frozenset: collection,
    bytearray: encodeText,
    bytes: encodeText,
    complex: (parts) => new Tuple(parts),
    slice: (parts) => new Tuple(parts),
    range: (parts) => new Tuple(parts),
    xrange: (parts) => new Tuple(parts),
    int: undefined,
    float: undefined,
    bool: undefined,
    str: undefined,
  },
  _codecs: { encode: encodeText },
  argparse: { Namespace: () => new Attributes() },
  types: { SimpleNamespace: () => new Attributes() },
  pathlib: { PosixPath: pathParts, PurePosixPath: pathParts, WindowsPath: pathParts },
  torch: {
    Size: ([sizes = []]) => new Tuple(toSizes(sizes, 'size')),
    device: ([kind, index]) => new Tuple([kind, index]),
    Tensor: undefined,
  },
  'torch._utils': {
    _rebuild_tensor: ([storage, offset, shape, strides]) =>
      viewOf(storage, undefined, offset, shape, strides),
    _rebuild_tensor_v2: ([storage, offset, shape, strides]) =>
      viewOf(storage, undefined, offset, shape, strides),
    _rebuild_tensor_v3: ([storage, offset, shape, strides, , , dtype]) =>
      viewOf(storage, markedType(dtype), offset, shape, strides),
    _rebuild_parameter: ([tensor]) => tensor,
    _rebuild_parameter_with_state: ([tensor]) => tensor,
  },
  'torch._tensor': { _rebuild_from_type_v2: rebuildFromType },
  'torch.nn.parameter': { Parameter: undefined, Buffer: undefined },
  'torch.storage': {},
  'numpy.core.multiarray': {
    scalar: ([type, content]) => numpyScalar(type, content),
    _reconstruct: () => new NumpyArray(),
  },
  'numpy.core.numeric': {
    _frombuffer: ([content, type, shape, order]) => {
      if (!(type instanceof NumpyType)) throw new PickleProblem('a NumPy array has no dtype');
      return new NumpyArray().fill(toSizes(shape, 'shape'), type, content, order === 'F');
    },
  },
  numpy: {
    dtype: ([name]) => new NumpyType(typeof name === 'string' ? name : ''),
    ndarray: undefined,
  },
};

/** Modules under the names they had in other versions. */
const aliases: Readonly<Record<string, string>> = {
  __builtin__: 'builtins',
  'numpy._core.multiarray': 'numpy.core.multiarray',
  'numpy._core.numeric': 'numpy.core.numeric',
  'torch.cuda': 'torch',
};

const globals = makeGlobals();

/** The global from the allow-list; every other name stays a text. */
export function findGlobal(module: string, name: string): Global | ForeignName {
  // The longest name of the list has 30 characters: longer texts are not even put together.
  const isShort = module.length <= longestName && name.length <= longestName;
  const found = isShort ? globals.get(`${aliasOf(module)} ${name}`) : undefined;
  return found ?? new ForeignName(nameOf(module, name));
}

/** The global from the allow-list; every other name is an error. */
export function findListedGlobal(module: string, name: string): Global {
  const found = findGlobal(module, name);
  if (isForeign(found)) throw new PickleProblem(found.type, 'unsafe');
  return found;
}

function aliasOf(module: string): string {
  return Object.hasOwn(aliases, module) ? aliases[module]! : module;
}

function makeGlobals(): ReadonlyMap<string, Global> {
  const all = new Map<string, Global>();
  const add = (module: string, name: string, build?: Build): Global => {
    const full = `${module}.${name}`;
    const global = new Global(full, build && !containers.has(full) ? ofPlainData(build) : build);
    all.set(`${module} ${name}`, global);
    return global;
  };
  for (const [module, names] of Object.entries(table)) {
    for (const [name, build] of Object.entries(names)) add(module, name, build);
  }
  for (const [name, type] of Object.entries(storageTypes)) {
    typeOfMarker.set(add('torch', name), type);
  }
  for (const [name, type] of Object.entries(torchTypes)) typeOfMarker.set(add('torch', name), type);
  typeOfMarker.set(add('torch.storage', 'UntypedStorage'), untyped);
  return all;
}

/** A list, tuple or set as an array. */
function toList(value: unknown): readonly unknown[] {
  if (value instanceof Tuple) return value.items;
  if (Array.isArray(value)) return value;
  throw new PickleProblem('its pickle makes a collection of something that is not one');
}

/** Protocol 2 has no bytes: Python 3 writes them as text that is encoded when it is read. */
function encodeText([text = '', encoding]: readonly unknown[], charge: Charge): Uint8Array {
  if (text instanceof Uint8Array) return text;
  if (typeof text !== 'string' || (text !== '' && encoding !== 'latin1')) {
    throw new PickleProblem('its pickle encodes a string as something other than latin1');
  }
  charge(text.length);
  return Buffer.from(text, 'latin1');
}

/** A path is kept as its parts. */
function pathParts(parts: readonly unknown[]): Tuple {
  return new Tuple(parts);
}

/** A tensor of a subclass, or with attributes: (function, type, arguments, state). */
function rebuildFromType([rebuild, , args]: readonly unknown[], charge: Charge): unknown {
  if (!(rebuild instanceof Global) || !rebuild.name.startsWith('torch._utils.') || !rebuild.build) {
    throw new PickleProblem(
      'a tensor is rebuilt by something other than a rebuild function',
      'unsafe',
    );
  }
  return rebuild.build(toList(args), charge);
}
