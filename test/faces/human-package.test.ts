import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type FaceDetector } from '../../lib/index.js';
import { openHumanDetector } from '../../lib/faces/index.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

/** A stand-in for Human: it "loads" the networks that it is given, as its own code would. */
const fakeHuman = (loads: string, result = '{ face: [] }'): string => `
  const routers = [];
  exports.Human = class {
    tf = {
      tensor3d: () => ({ dispose() {} }),
      io: { registerLoadRouter: (router) => routers.push(router) },
    };
    #loaded = [];
    models = { loaded: () => this.#loaded };
    constructor(config) { this.config = config; }
    async load() {
      for (const name of ${loads}) {
        const url = this.config.modelBasePath + name + '.json';
        const [handler] = routers.map((router) => router(url)).filter(Boolean);
        const { weightData, weightSpecs, modelTopology } = await handler.load();
        if (weightData.byteLength !== 5 || weightSpecs.length !== 2 || modelTopology !== name) {
          throw new Error('the wrong weights');
        }
        this.#loaded.push(name);
      }
    }
    async detect() { return ${result}; }
  };`;

describe('openHumanDetector', () => {
  const temporary = temporaryDirectory();
  const before = process.env['COUNTENANCE_PEERS'];
  afterEach(() => {
    if (before === undefined) delete process.env['COUNTENANCE_PEERS'];
    else process.env['COUNTENANCE_PEERS'] = before;
  });

  /** A folder of optional packages: Human with its networks, and these parts of TensorFlow.js. */
  async function pretend(folder: string, code: string, parts: readonly string[]): Promise<void> {
    const modules = temporary.path(folder, 'node_modules');
    const write = async (name: string, text: string): Promise<void> => {
      await mkdir(dirname(join(modules, name)), { recursive: true });
      await writeFile(join(modules, name), text);
    };
    const human = '@vladmandic/human';
    await write(`${human}/package.json`, '{"main":"dist/human.node.js"}');
    await write(`${human}/dist/human.node.js`, 'throw new Error("not this one")');
    await write(`${human}/dist/human.node-wasm.js`, code);
    for (const name of ['blazeface', 'facemesh']) {
      const group = (path: string) => ({ paths: [path], weights: [{ name: path }] });
      const manifest = [group(`${name}.1.bin`), group(`${name}.2.bin`)];
      const json = { modelTopology: name, weightsManifest: manifest };
      await write(`${human}/models/${name}.json`, JSON.stringify(json));
      await write(`${human}/models/${name}.1.bin`, 'abc');
      await write(`${human}/models/${name}.2.bin`, 'de');
    }
    for (const part of parts) await write(`@tensorflow/${part}/index.js`, '');
    process.env['COUNTENANCE_PEERS'] = temporary.path(folder);
  }
  const engine = ['tfjs-core', 'tfjs-converter', 'tfjs-backend-wasm'];
  const both = "['blazeface', 'facemesh']";
  const picture = { data: new Uint8Array(12), width: 2, height: 2 };

  it('reads the networks of the package, one that comes in parts too', async () => {
    await pretend('whole', fakeHuman(both), engine);
    const detectors: FaceDetector[] = [];
    for (let i = 0; i < 2; i++) detectors.push(await openHumanDetector());
    for (const detector of detectors) assert.deepEqual(await detector.detect(picture), []);
  });

  it('names every package that is missing', async () => {
    const name = '@vladmandic/human';
    const all = ['@vladmandic/human', ...engine.map((part) => `@tensorflow/${part}`)].join(' ');
    process.env['COUNTENANCE_PEERS'] = temporary.path('nothing');
    await rejectsWith(openHumanDetector(), 'ERR_PEER_MISSING', name, `npm install ${all} `);
    for (const missing of engine) {
      const others = engine.filter((part) => part !== missing);
      await pretend(`no ${missing}`, fakeHuman(both), others);
      await rejectsWith(openHumanDetector(), 'ERR_PEER_MISSING', `package @tensorflow/${missing},`);
    }
  });

  it('says what went wrong inside', async () => {
    await pretend('throws', 'throw new Error("no wasm")', engine);
    await rejectsWith(openHumanDetector(), 'ERR_PEER_LOAD', 'no wasm');
    await pretend('half', fakeHuman("['blazeface']"), engine);
    await rejectsWith(openHumanDetector(), 'ERR_FACE_DETECTOR', 'did not load facemesh');
    await pretend('unknown', fakeHuman("['nose']"), engine);
    await rejectsWith(openHumanDetector(), 'ERR_FACE_DETECTOR', 'nose.json');
    await pretend('fails', fakeHuman(both, "{ face: [], error: 'backend lost' }"), engine);
    const detector = await openHumanDetector();
    await rejectsWith(detector.detect(picture), 'ERR_FACE_DETECTOR', 'backend lost');
  });

  it('refuses options out of range', async () => {
    await rejectsWith(openHumanDetector({ maxFaces: 0 }), 'ERR_INVALID_ARGUMENT', 'maxFaces');
    for (const minConfidence of [-0.1, 1.1, NaN]) {
      await rejectsWith(openHumanDetector({ minConfidence }), 'ERR_INVALID_ARGUMENT', 'minConf');
    }
  });
});
