import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { deflateRawSync } from 'node:zlib';
import type { ErrorCode } from '../../lib/errors.js';
import { Random } from '../../lib/philox.js';
import { openWeights } from '../../lib/weights/open.js';
import { encodeSafetensors } from '../../lib/weights/safetensors.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';
import { makePyTorch, makeZip, pickle } from './pickle-builder.js';
import { pytorchFixture, readAll, survives } from './support.js';

/** The possible errors for a damaged weights file. */
const refusals: readonly ErrorCode[] = [
  'ERR_PYTORCH',
  'ERR_UNSAFE_PICKLE',
  'ERR_UNSUPPORTED',
  'ERR_SAFETENSORS',
];

describe('hostile weights files', function () {
  this.timeout(120_000);
  const directory = temporaryDirectory();
  const file = (name = 'hostile.pth'): string => directory.path(name);

  async function read(bytes: Uint8Array, name?: string): Promise<Map<string, Float32Array>> {
    await writeFile(file(name), bytes);
    await using opened = await openWeights(file(name));
    return await readAll(opened);
  }

  const refuses = (bytes: Uint8Array, ...parts: string[]) =>
    rejectsWith(read(bytes), 'ERR_PYTORCH', 'hostile.pth', ...parts);

  const isUnsafe = (bytes: Uint8Array, ...parts: string[]) =>
    rejectsWith(read(bytes), 'ERR_UNSAFE_PICKLE', 'hostile.pth', ...parts);

  describe('damage', () => {
    const small = {
      zip: makePyTorch(pickle.of('}', pickle.text('a'), pickle.tensor('0', 3, [3], [1]), 's'), {
        0: new Uint8Array(12).fill(7),
      }),
      legacy: pytorchFixture('legacy, one tensor'),
    };

    for (const [form, whole] of Object.entries(small)) {
      it(`refuses a ${form} file cut at every byte`, async () => {
        for (let length = 0; length < whole.length; length++) {
          const code = await survives(() => read(whole.subarray(0, length)), refusals);
          assert.ok(code, `cut at ${length}`);
        }
      });
    }

    it('finds every flipped bit of the content by its checksum, or reads the same', async () => {
      const whole = pytorchFixture('zip, one tensor');
      const expected = await read(whole);
      const random = new Random(1, 0);
      let refused = 0;
      for (let i = 0; i < 600; i++) {
        const broken = Buffer.from(whole);
        broken[random.below(whole.length)]! ^= 1 << random.below(8);
        let values: Map<string, Float32Array> | undefined;
        const code = await survives(async () => (values = await read(broken)), refusals);
        if (code) refused += 1;
        else assert.deepEqual(values, expected);
      }
      assert.ok(refused > 200, `${refused} of 600 refused`);
    });

    it('survives flipped bits where there is no checksum', async () => {
      const random = new Random(2, 0);
      const checkpoint = pytorchFixture('legacy, checkpoint');
      for (let i = 0; i < 600; i++) {
        const broken = Buffer.from(checkpoint);
        broken[random.below(broken.length)]! ^= 1 << random.below(8);
        await survives(() => read(broken), refusals);
      }
      for (let i = 0; i < 300; i++) {
        const broken = Buffer.from(small.zip);
        broken[random.below(broken.length)]! ^= 1 << random.below(8);
        await survives(() => read(broken), refusals);
      }
    });

    it('survives noise with the start of a pickle or an archive', async () => {
      const random = new Random(3, 0);
      for (const start of ['\x80\x02', 'PK\x03\x04', '\x80\x04\x95', '(', '']) {
        for (let i = 0; i < 40; i++) {
          const noise = Uint8Array.from({ length: random.below(300) }, () => random.below(256));
          const bytes = Buffer.concat([Buffer.from(start, 'latin1'), noise]);
          await survives(() => read(bytes), refusals);
        }
      }
    });
  });

  describe('pickles', () => {
    it('that want to run something are refused by name', async () => {
      const call = [pickle.text('touch /tmp/owned'), '\x85R'];
      for (const [module, name] of [
        ['os', 'system'],
        ['posix', 'system'],
        ['builtins', 'eval'],
        ['__builtin__', 'exec'],
        ['builtins', 'getattr'],
        ['subprocess', 'Popen'],
        ['torch.storage', '_load_from_bytes'],
        ['torch', 'load'],
        ['numpy.testing._private.utils', 'runstring'],
        ['functools', 'partial'],
        ['builtins', 'constructor'],
        ['__proto__', 'constructor'],
        ['toString', 'call'],
      ] as const) {
        const global = pickle.global(module, name);
        await isUnsafe(makePyTorch(pickle.of(global, ...call)), `'${module}.${name}'`);
        const byStack = pickle.of(pickle.text(module), pickle.text(name), '\x93', ...call);
        await isUnsafe(makePyTorch(byStack), `'${module}.${name}'`);
        await isUnsafe(pickle.of(global, ...call), `'${module}.${name}'`);
      }
    });

    it('that call what is only a name, or what is no name', async () => {
      const storage = pickle.global('torch', 'FloatStorage');
      await isUnsafe(makePyTorch(pickle.of(storage, ')R')), 'torch.FloatStorage');
      await isUnsafe(makePyTorch(pickle.of('(ios\nsystem\n')), 'os.system');
      await isUnsafe(makePyTorch(pickle.of(pickle.text('x'), ')R')), 'not a constructor');
      const rebuild = pickle.global('torch._tensor', '_rebuild_from_type_v2');
      const inner = [pickle.global('collections', 'OrderedDict'), 'N)Nt'];
      await isUnsafe(makePyTorch(pickle.of(rebuild, '(', ...inner, 'R')), 'rebuilt');
      await isUnsafe(makePyTorch(pickle.of('(', pickle.text('module'), 'tQ')), 'not a storage');
    });

    it('with names that would break a message', async () => {
      const name = pickle.of(pickle.text('a\nb\x1b[31m'), pickle.text('x'.repeat(5000)), '\x93');
      const { message } = await isUnsafe(makePyTorch(name), 'a?b?[31m.xxx');
      assert.ok(message.length < 400);
    });

    it('with opcodes that no tensor needs', async () => {
      await refuses(makePyTorch(pickle.of('\x82\x01')), '0x82');
      await refuses(makePyTorch(pickle.of('\x97')), '0x97');
      await refuses(makePyTorch(Buffer.from('\x80\x07N.', 'latin1')), 'protocol 7');
    });

    it('that use what is not there', async () => {
      for (const bad of [
        '0',
        '1',
        't',
        'R',
        'a',
        'N(e',
        'q\x01',
        'h\x05',
        '2',
        '\x87',
        '(NNd',
        's',
      ]) {
        await survives(
          () => read(makePyTorch(pickle.of(bad))),
          ['ERR_PYTORCH', 'ERR_UNSAFE_PICKLE'],
        );
      }
      await refuses(makePyTorch(pickle.of('h\x05')), 'remembered value 5');
      await refuses(makePyTorch(pickle.of('N]NNs')), 'not a dictionary');
      await refuses(makePyTorch(pickle.of('N}b')), 'state');
      await refuses(makePyTorch(pickle.of('I12x\n')), '12x');
      await refuses(makePyTorch(pickle.of(`I${'9'.repeat(2000)}\n`)), 'line of more than');
    });

    it('with lengths beyond the file', async () => {
      const huge = Buffer.alloc(8, 0xff);
      for (const opcode of ['\x8d', '\x8e', '\x96', 'X', 'B', 'T', '\x8b']) {
        await refuses(makePyTorch(pickle.of(opcode, huge)));
      }
      await refuses(
        makePyTorch(pickle.of('\x8b', Buffer.from([0xff, 0xff, 0xff, 0x7f]))),
        'integer',
      );
    });

    it('with cycles, and containers met again and again', async () => {
      const self = pickle.of('}q\x00', pickle.text('a'), 'h\x00', 's');
      assert.equal((await read(makePyTorch(self))).size, 0);
      // Each list contains the previous one twice: 2^60 paths, 60 lists.
      let doubled = ']q\x00';
      for (let i = 0; i < 60; i++) doubled += `](h${chr(i)}h${chr(i)}eq${chr(i + 1)}`;
      assert.equal((await read(makePyTorch(pickle.of(doubled)))).size, 0);
    });

    it('that nest without end', async () => {
      await refuses(makePyTorch(pickle.of('('.repeat(200_000))), 'nested levels');
      const lists = `${']'.repeat(100_000)}${'a'.repeat(99_999)}`;
      await refuses(makePyTorch(pickle.of(lists)), 'nests more than');
    });

    it('that make ever more', async () => {
      await refuses(makePyTorch(pickle.of(']'.repeat(3_000_000))), 'objects');
      // One long text, encoded again each time.
      const long = pickle.text('x'.repeat(1_000_000));
      const encode = `h\x00(h\x01h\x02tR`;
      const bomb = pickle.of(
        ...[
          pickle.global('_codecs', 'encode'),
          'q\x00',
          long,
          'q\x01',
          pickle.text('latin1'),
          'q\x02',
        ],
        encode.repeat(5000),
      );
      await refuses(makePyTorch(bomb), 'copied bytes');
      // One list of pairs, turned into a dictionary each time.
      const pairs = `](${'h\x02'.repeat(20_000)}eq\x03`;
      const dictionaries = pickle.of(
        ...[
          pickle.global('collections', 'OrderedDict'),
          'q\x00',
          'NN\x86q\x02',
          pairs,
          '\x85q\x04',
        ],
        'h\x00h\x04R'.repeat(5000),
      );
      await refuses(makePyTorch(dictionaries), 'copied bytes');
    });
  });

  describe('tensors', () => {
    const storage = { 0: new Uint8Array(12) };
    const one = (...tensor: Parameters<typeof pickle.tensor>): Buffer =>
      makePyTorch(pickle.of(pickle.tensor(...tensor)), storage);

    it('that leave their storage', async () => {
      assert.deepEqual([...(await read(one('0', 3, [3], [1]))).values()], [new Float32Array(3)]);
      await refuses(one('0', 3, [4], [1]), '[4]', '16 bytes', 'storage of 12');
      await refuses(one('0', 3, [3], [1], 1), '16 bytes');
      await refuses(one('0', 3, [2, 2], [2, 1]), '[2, 2]');
      await refuses(one('0', 3, [2 ** 31, 2 ** 31], [2 ** 31, 1]), 'storage of 12');
      await refuses(one('0', 3, [3], [-1]), 'strides');
      await refuses(one('0', 3, [3], [1, 1]), 'sizes and strides');
      await refuses(one('0', 3, [-3], [1]), 'shape');
      await refuses(one('0', -3, [3], [1]), 'storage size');
      await refuses(
        one('0', 3, new Array<number>(40).fill(1), new Array<number>(40).fill(1)),
        'shape',
      );
    });

    it('that repeat one value without end', async () => {
      await refuses(one('0', 3, [2 ** 40], [0]), 'repeats 1 values');
      await refuses(one('0', 3, [2 ** 20, 2 ** 20], [0, 0]), 'repeats');
    });

    it('whose storage is missing or has another size', async () => {
      await refuses(one('1', 3, [3], [1]), "storage '1' is missing");
      await refuses(one('../../x', 3, [3], [1]), "storage '../../x' is missing");
      await refuses(one('0', 2, [2], [1]), '12 bytes, not 8');
      const two = [pickle.tensor('0', 3, [3], [1]), pickle.tensor('0', 2, [2], [1]), '\x86'];
      await refuses(makePyTorch(pickle.of(...two), storage), 'two different sizes');
    });

    it('with one name', async () => {
      const tensor = pickle.tensor('0', 3, [3], [1]);
      const nested = ['}', pickle.text('b'), tensor, 's'];
      const twice = pickle.of('}(', pickle.text('a.b'), tensor, pickle.text('a'), ...nested, 'u');
      await refuses(makePyTorch(twice, storage), "two tensors called 'a.b'");
    });
  });

  describe('archives', () => {
    const data = { name: 'x/data.pkl', content: pickle.of(pickle.tensor('0', 3, [3], [1])) };
    const storage = { name: 'x/data/0', content: new Uint8Array(12) };

    it('with names that leave their folder', async () => {
      for (const name of [
        '../x',
        '/etc/passwd',
        'a/../../b',
        'a\\b',
        'x/./y',
        'a//b',
        'a\0b',
        '',
      ]) {
        await refuses(
          makeZip([data, storage, { name, content: new Uint8Array(1) }]),
          'name that is not allowed',
        );
      }
    });

    it('with entries that overlap, lie outside, or come twice', async () => {
      const first = { ...storage, directory: { offset: 0 } };
      await refuses(makeZip([data, first]), 'overlaps');
      const outside = { ...storage, directory: { offset: 0xfffffff0 } };
      await refuses(makeZip([data, outside]), 'overlaps');
      const long = { ...storage, directory: { size: 9999, compressedSize: 9999 } };
      await refuses(makeZip([data, long]), 'overlaps');
      await refuses(makeZip([data, storage, storage]), 'twice');
      await refuses(makeZip([data, storage], 3), '2 entries, not 3');
    });

    it('whose directory contradicts the entries', async () => {
      const renamed = { ...storage, name: 'x/data/9', directory: { name: 'x/data/0' } };
      await refuses(makeZip([data, renamed]), 'another name');
      const wrong = { ...storage, directory: { crc: 1 } };
      await refuses(makeZip([data, wrong]), 'checksum');
      const encrypted = { ...storage, directory: { flags: 1 } };
      await refuses(makeZip([data, encrypted]), 'encrypted');
      const method = { ...storage, directory: { method: 12 } };
      await refuses(makeZip([data, method]), 'method 12');
      const sizes = { ...storage, directory: { size: 13 } };
      await refuses(makeZip([data, sizes]), 'two different sizes');
      const nowhere = { ...storage, directory: { offset: 0xffffffff } };
      await refuses(makeZip([data, nowhere]), 'sizes');
    });

    it('that unpack to more than they say', async () => {
      const bomb = deflateRawSync(new Uint8Array(50_000_000));
      const packed = (size: number) => ({
        name: 'x/data/0',
        content: bomb,
        directory: { method: 8, size },
      });
      await refuses(makeZip([data, packed(12)]), 'larger than it says');
      await refuses(makeZip([{ ...packed(64), name: 'x/data.pkl' }]), 'larger than it says');
      await refuses(makeZip([{ ...packed(2 ** 31), name: 'x/data.pkl' }]), 'data.pkl claims');
      const tensor = pickle.of(pickle.tensor('0', 2 ** 29, [3], [1]));
      await refuses(makeZip([{ ...data, content: tensor }, packed(2 ** 31)]), 'claims');
      const much = pickle.of(pickle.tensor('0', 2 ** 25, [3], [1]));
      await refuses(makeZip([{ ...data, content: much }, packed(2 ** 27)]), 'claims 134217728');
    });

    it('without a state dict', async () => {
      await refuses(makeZip([{ name: 'x/readme', content: new Uint8Array(1) }]), 'one data.pkl');
      await refuses(makeZip([data, { ...data, name: 'y/data.pkl' }]), 'one data.pkl');
      const script = makeZip([data, { name: 'x/constants.pkl', content: new Uint8Array(1) }]);
      await rejectsWith(read(script), 'ERR_UNSUPPORTED', 'TorchScript');
      const big = makeZip([data, storage, { name: 'x/byteorder', content: Buffer.from('big') }]);
      await rejectsWith(read(big), 'ERR_UNSUPPORTED', "'big'");
    });
  });

  describe('indexes of shards', () => {
    const index = 'model.safetensors.index.json';
    const refusesIndex = (text: string, ...parts: string[]) =>
      rejectsWith(read(Buffer.from(text), index), 'ERR_SAFETENSORS', index, ...parts);

    it('that are no index', async () => {
      const whole = '{"metadata":{"total_size":4},"weight_map":{"a":"1.safetensors"}}';
      for (let length = 0; length < whole.length; length++) {
        const code = await survives(
          () => read(Buffer.from(whole.slice(0, length)), index),
          refusals,
        );
        assert.ok(code, `cut at ${length}`);
      }
      await refusesIndex('[]', 'weight_map');
      await refusesIndex('null', 'weight_map');
      await refusesIndex('{"weight_map":[]}', 'weight_map');
      await refusesIndex('{"weight_map":{"a":"x","a":"y"}}', "'a' twice");
      await refusesIndex('['.repeat(1e5), 'JSON');
    });

    it('that leave their folder', async () => {
      for (const name of ['../x', '/etc/passwd', 'a/b', 'a\\b', '..', '', 'C:x', 'a\0b', 7]) {
        await refusesIndex(
          JSON.stringify({ weight_map: { a: name } }),
          "'a'",
          'not in a plain file',
        );
      }
    });

    it('that name too many files, none, or themselves', async () => {
      const names = Array.from({ length: 300 }, (_, i) => `"t${i}":"${i}.safetensors"`);
      await refusesIndex(`{"weight_map":{${names.join()}}}`, '300 files');
      const missing = read(Buffer.from('{"weight_map":{"a":"gone.safetensors"}}'), index);
      await rejectsWith(missing, 'ERR_FILE_NOT_FOUND', 'gone.safetensors');
      const own = read(Buffer.from(`{"weight_map":{"a":"${index}"}}`), index);
      await rejectsWith(own, 'ERR_SAFETENSORS');
      await mkdir(file('folder'));
      const folder = read(Buffer.from('{"weight_map":{"a":"folder"}}'), index);
      await rejectsWith(folder, 'ERR_NOT_A_FILE', 'folder');
    });

    it('that name what a shard does not hold', async () => {
      const tensors = new Map([['b', { shape: [1], data: Float32Array.of(2) }]]);
      await writeFile(file('1.safetensors'), Buffer.concat(encodeSafetensors(tensors)));
      await refusesIndex('{"weight_map":{"a":"1.safetensors"}}', "'a' is not in '1.safetensors'");
      const good = await read(Buffer.from('{"weight_map":{"b":"1.safetensors"}}'), index);
      assert.deepEqual(good, new Map([['b', Float32Array.of(2)]]));
    });
  });
});

function chr(code: number): string {
  return String.fromCharCode(code);
}
