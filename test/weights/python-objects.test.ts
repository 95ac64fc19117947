import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Random } from '../../lib/philox.js';
import { openWeights } from '../../lib/weights/open.js';
import type { WeightsFile } from '../../lib/weights/weights-file.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';
import { makeLegacy, makePyTorch, pickle } from './pickle-builder.js';
import { readAll, survives } from './support.js';

interface StoredPickle {
  readonly name: string;
  readonly protocol: number;
  readonly pickle: string;
}

/** Checkpoints that make_pickle_fixtures.py has pickled with Python. */
const { pickles } = JSON.parse(
  readFileSync(join(__dirname, '..', 'fixtures', 'pickles.json'), 'utf8'),
) as { pickles: StoredPickle[] };

/** Element i of storage K is K + i. */
function storage(key: number, count: number): Uint8Array {
  return new Uint8Array(Float32Array.from({ length: count }, (_, i) => key + i).buffer);
}

const forms = { zip: makePyTorch, legacy: makeLegacy };
type Form = keyof typeof forms;

/** What stands beside the weights, by the name of the pickle: the types that nothing here builds. */
const expected: Readonly<Record<string, readonly string[]>> = {
  recorder: ['__main__.RecorderMeter'],
  yacs: ['yacs.config.CfgNode'],
  omegaconf: ['omegaconf.dictconfig.DictConfig'],
  easydict: ['easydict.EasyDict'],
  datetime: ['datetime.datetime'],
  'enum member': ['__main__.Expression.ANGER'],
  'enum as a key': ['__main__.Expression.ANGER', '__main__.Level.LOW'],
  namespace: [],
  deque: [],
  slice: [],
  range: [],
  'list subclass': ['__main__.History'],
  'nested class': ['__main__.Outer.Inner'],
  slots: ['__main__.Slots'],
  'named tuple': ['__main__.Point'],
  keywords: ['functools.partial'],
  'keyword arguments': ['__main__.Keywords'],
  'a class': ['__main__.RecorderMeter'],
  'a function': ['posixpath.join'],
  decimal: ['decimal.Decimal'],
  uuid: ['uuid.UUID'],
  pattern: ['re._compile'],
  exception: ['builtins.ValueError'],
  shared: ['__main__.Box'],
  cyclic: ['__main__.Box'],
  'shared weights': ['__main__.Box'],
  names: ['__main__.Box'],
};

describe('Python objects beside weights', () => {
  const directory = temporaryDirectory();

  async function open(bytes: Uint8Array): Promise<WeightsFile> {
    const file = directory.path('objects.pth');
    await writeFile(file, bytes);
    return openWeights(file);
  }

  function stored(name: string, protocol: number, form: Form = 'zip'): Buffer {
    const found = pickles.find((each) => each.name === name && each.protocol === protocol)!;
    const data = Buffer.from(found.pickle, 'base64');
    const storages: Record<string, Uint8Array> = { 0: storage(0, 3), 1: storage(1, 2) };
    if (name === 'own weights') Object.assign(storages, { 2: storage(2, 3), 3: storage(3, 1) });
    if (name === 'a whole module') delete storages['1'];
    return forms[form](data, storages);
  }

  /** The weights of every stored pickle are whole, whatever stands beside them. */
  async function hasWeights(file: WeightsFile): Promise<void> {
    assert.deepEqual(
      await readAll(file),
      new Map([
        ['state_dict.module.conv1.weight', Float32Array.of(0, 1, 2)],
        ['state_dict.module.bn1.weight', Float32Array.of(1, 2)],
      ]),
    );
    assert.equal(file.metadata['epoch'], '7');
  }

  for (const form of ['zip', 'legacy'] as const) {
    for (const { name, protocol } of pickles) {
      const types = expected[name];
      if (!types) continue;
      it(`${name}, protocol ${protocol}, ${form}`, async () => {
        await using file = await open(stored(name, protocol, form));
        await hasWeights(file);
        // Protocol 2 uses Python 2's names of modules.
        const module = protocol === 2 ? 'exceptions' : 'builtins';
        const wanted = types.map((type) => type.replace('builtins', module));
        assert.deepEqual(
          file.notRebuilt,
          wanted.map((type) => ({
            name: name === 'shared' ? 'extra.0' : 'extra',
            type,
            tensors: [],
          })),
        );
      });
    }
  }

  it('names where they are', async () => {
    await using file = await open(stored('factory', 2));
    await hasWeights(file);
    assert.deepEqual(file.notRebuilt, [{ name: 'extra.a', type: '__main__.Box', tensors: [] }]);
  });

  for (const protocol of [2, 4]) {
    it(`names the weights that are only inside one, protocol ${protocol}`, async () => {
      await using file = await open(stored('own weights', protocol));
      await hasWeights(file);
      const tensors = ['extra.step', 'extra.average.conv1.weight'];
      assert.deepEqual(file.notRebuilt, [{ name: 'extra', type: '__main__.Box', tensors }]);
    });

    it(`keeps the others where one weight depends on a name, protocol ${protocol}`, async () => {
      await using file = await open(stored('one weight of another kind', protocol));
      const name = 'module.bn1.weight';
      const type = 'torch._utils._rebuild_sparse_tensor';
      assert.deepEqual(file.notRebuilt, [{ name, type, tensors: [name] }]);
      assert.deepEqual([...file.tensors.keys()], ['module.conv1.weight']);
    });

    for (const [name, type] of [
      ['weights in a dict subclass', 'easydict.EasyDict'],
      ['a whole module', '__main__.Box'],
    ] as const) {
      it(`refuses ${name}, protocol ${protocol}`, async () => {
        for (const form of ['zip', 'legacy'] as const) {
          const opened = open(stored(name, protocol, form));
          await rejectsWith(opened, 'ERR_UNSAFE_PICKLE', 'objects.pth', type, 'state_dict');
        }
      });
    }
  }

  it('survives flipped bits', async () => {
    const random = new Random(5, 0);
    for (let i = 0; i < 600; i++) {
      const { name, protocol } = pickles[random.below(pickles.length)]!;
      const broken = stored(name, protocol, i % 2 === 0 ? 'zip' : 'legacy');
      for (let flips = 0; flips < 3; flips++) {
        broken[random.below(broken.length)]! ^= 1 << random.below(8);
      }
      const read = async (): Promise<void> => {
        await using file = await open(broken);
        await readAll(file);
      };
      await survives(read, [
        'ERR_PYTORCH',
        'ERR_UNSAFE_PICKLE',
        'ERR_UNSUPPORTED',
        'ERR_SAFETENSORS',
      ]);
    }
  });

  describe('opcode by opcode', () => {
    const { text, global } = pickle;
    const weights = [text('w'), pickle.tensor('0', 2, [2], [1])];
    const type = global('__main__', 'C');

    /** A dictionary of the weights and a value `x`, which comes first. */
    const beside = (...value: (Buffer | string)[]): Buffer =>
      makePyTorch(pickle.of('}(', text('x'), ...value, ...weights, 'u'), { 0: storage(5, 2) });

    async function isInert(value: (Buffer | string)[], called = '__main__.C'): Promise<void> {
      await using file = await open(beside(...value));
      assert.deepEqual(await readAll(file), new Map([['w', Float32Array.of(5, 6)]]));
      assert.deepEqual(file.notRebuilt, [{ name: 'x', type: called, tensors: [] }]);
      assert.deepEqual(file.metadata, {});
    }

    const calls: Record<string, (Buffer | string)[]> = {
      'GLOBAL alone': [type],
      'STACK_GLOBAL alone': [text('__main__'), text('C'), '\x93'],
      REDUCE: [type, 'K\x01\x85R'],
      NEWOBJ: [type, ')\x81'],
      NEWOBJ_EX: [type, ')}', text('size'), 'K\x03s\x92'],
      OBJ: ['(', type, 'K\x01o'],
      INST: ['(K\x01i__main__\nC\n'],
      'BUILD with a dictionary': [type, ')\x81}', text('a'), 'K\x01sb'],
      'BUILD with slots': [type, ')\x81N}', text('a'), 'K\x01s\x86b'],
      'BUILD with anything': [type, ')\x81K\x07b'],
      'BUILD twice': [type, ')\x81}bNb'],
      SETITEM: [type, ')\x81K\x01K\x02s'],
      SETITEMS: [type, ')\x81(K\x01K\x02K\x03K\x04u'],
      APPEND: [type, ')\x81K\x01a'],
      APPENDS: [type, ')\x81(K\x01K\x02e'],
      ADDITEMS: [type, ')\x81(K\x01K\x02\x90'],
      'a call of what a call gave': [type, ')R)R'],
      'an object as an argument of a listed name': [global('torch', 'Size'), type, '\x85R'],
      'an object that a list is made of': [global('builtins', 'list'), type, '\x85R'],
      'an object that a dictionary is made of': [
        global('collections', 'OrderedDict'),
        ...[type, '\x85R'],
      ],
      'an object that a tuple is made of': [global('builtins', 'tuple'), type, '\x85R'],
      'an array of a class of its own': [
        global('numpy.core.multiarray', '_reconstruct'),
        ...[type, 'K\x00\x85C\x01b\x87R'],
      ],
      'a tensor of a class of its own': [
        ...[global('torch._tensor', '_rebuild_from_type_v2'), '('],
        ...[global('torch._utils', '_rebuild_parameter'), type, ')NtR'],
      ],
    };
    for (const [name, value] of Object.entries(calls)) {
      it(`${name} stays inert`, () => isInert(value));
    }

    it('a listed name that is no constructor is not called either', () =>
      isInert([global('torch', 'FloatStorage'), ')R'], 'torch.FloatStorage'));

    it('a name that was thrown away is told', async () => {
      const call = [global('os', 'system'), text('touch /tmp/owned'), '\x85R0'];
      await using file = await open(beside(...call, 'N'));
      assert.deepEqual([...file.tensors.keys()], ['w']);
      assert.deepEqual(file.notRebuilt, [{ name: '', type: 'os.system', tensors: [] }]);
    });

    it('EXT is refused', async () => {
      for (const opcode of ['\x82\x01', '\x83\x01\x00', '\x84\x01\x00\x00\x00']) {
        const code = `0x${opcode.charCodeAt(0).toString(16)}`;
        await rejectsWith(open(beside(opcode)), 'ERR_PYTORCH', code);
      }
    });

    it('a call of a value is refused, and so are arguments that are none', async () => {
      await rejectsWith(open(beside('K\x01)R')), 'ERR_UNSAFE_PICKLE', 'not a constructor');
      await rejectsWith(open(beside(type, 'NR')), 'ERR_UNSAFE_PICKLE', 'not a constructor');
      await rejectsWith(open(beside('(o')), 'ERR_UNSAFE_PICKLE', 'not a constructor');
      await rejectsWith(open(beside(type, 'K\x01a')), 'ERR_PYTORCH', 'not a list');
      await rejectsWith(open(beside(type, '}b')), 'ERR_PYTORCH', 'state');
    });

    it('a class named as a legacy file names that of a module stays inert', async () => {
      const id = ['(', text('module'), type, text('net.py'), text('class C: pass'), 'tQ'];
      await isInert([...id, ')\x81}b']);
    });

    it('names like those of prototypes are names like any other', async () => {
      const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '__class__'];
      for (const name of names) {
        await isInert([global(name, name), ')R'], `${name}.${name}`);
        await isInert([type, ')\x81}', text(name), '}', text(name), 'Nssb']);
        const data = pickle.of('}(', text(name), type, ')\x81', ...weights, 'u');
        await using file = await open(makePyTorch(data, { 0: storage(5, 2) }));
        assert.deepEqual(file.notRebuilt, [{ name, type: '__main__.C', tensors: [] }]);
      }
      assert.equal(({} as Record<string, unknown>)['size'], undefined);
    });

    it('a tensor in an object counts once, and not if it is also outside', async () => {
      const tensor = pickle.tensor('0', 2, [2], [1]);
      // x: C(w), y: a list of w twice; w itself comes last, from the memo.
      const inside = [type, ')\x81}', text('a'), tensor, 'q\x01sb'];
      const outside = pickle.of('}(', text('x'), ...inside, text('w'), 'h\x01u');
      await using shared = await open(makePyTorch(outside, { 0: storage(5, 2) }));
      assert.deepEqual([...shared.tensors.keys()], ['w']);
      assert.deepEqual(shared.notRebuilt, [{ name: 'x', type: '__main__.C', tensors: [] }]);
      const twice = [type, ')\x81}', text('b'), 'h\x01sb'];
      const only = pickle.of('}(', text('x'), ...inside, text('y'), ...twice, text('n'), 'K\x01u');
      const opened = open(makePyTorch(only, { 0: storage(5, 2) }));
      await rejectsWith(opened, 'ERR_UNSAFE_PICKLE', '__main__.C');
    });

    it('objects in objects without end cost no stack', async () => {
      const deep = `${'h\x00)\x81'.repeat(50_000)}${'a'.repeat(49_999)}`;
      await isInert([type, 'q\x000', deep]);
    });

    it('one list of arguments for a million calls is one list', async () => {
      const list = `(${'N'.repeat(50_000)}tq\x01`;
      const calls = 'h\x00h\x01R0'.repeat(500_000);
      await using file = await open(beside(type, 'q\x000', list, '0', calls, 'N'));
      assert.deepEqual(file.notRebuilt, [{ name: '', type: '__main__.C', tensors: [] }]);
    });

    it('more objects than any checkpoint has are refused', async () => {
      const many = 'h\x00)\x81'.repeat(1_100_000);
      await rejectsWith(open(beside(type, 'q\x00', many)), 'ERR_PYTORCH', 'objects');
      const items = 'NNs'.repeat(1_100_000);
      await rejectsWith(open(beside(type, ')R', items)), 'ERR_PYTORCH', 'objects');
    });

    it('a name of megabytes is cut', async () => {
      const long = text('x'.repeat(4_000_000));
      const names = 'h\x00h\x00\x930'.repeat(1000);
      await using file = await open(beside(long, 'q\x000', names, 'N'));
      assert.equal(file.notRebuilt.length, 1);
      assert.equal(file.notRebuilt[0]!.type.length, 1024);
    });
  });
});
