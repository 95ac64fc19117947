import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { checkInteger, checkNumber } from '../check.js';
import { CountenanceError, messageOf } from '../errors.js';
import { findPeer, missingPeer, requireFile } from '../peers.js';
import type { FaceDetector } from './detector.js';
import { humanDetector, type HumanLike } from './human.js';

/** Options of {@link openHumanDetector}. */
export interface HumanOptions {
  /** Maximum number of faces per image. Default 100. */
  readonly maxFaces?: number;
  /** Minimum confidence of a face, 0..1. Default 0.2, as in Human. */
  readonly minConfidence?: number;
}

/** A TensorFlow.js graph model, as `tf.io` takes it. */
interface ModelArtifacts {
  readonly modelTopology: unknown;
  readonly weightSpecs: readonly unknown[];
  readonly weightData: ArrayBuffer;
}
type LoadRouter = (url: unknown) => { load(): Promise<ModelArtifacts> } | null;

/** The part of a Human instance that is used besides detection. */
interface Human extends HumanLike {
  readonly tf: HumanLike['tf'] & { readonly io: { registerLoadRouter(router: LoadRouter): void } };
  readonly models: { loaded(): readonly string[] };
  load(): Promise<void>;
}
interface HumanModule {
  readonly Human: new (config: object) => Human;
}

const name = '@vladmandic/human';
const purpose = 'Finding faces';

/** Human has no dependencies of its own: it uses the TensorFlow.js that is installed next to it. */
const engine = [
  '@tensorflow/tfjs-core',
  '@tensorflow/tfjs-converter',
  '@tensorflow/tfjs-backend-wasm',
] as const;

/** Human's names for the networks that are needed. */
const networks = ['blazeface', 'facemesh'] as const;

/** Part of each instance's URLs, so that it reads the networks of its own package. */
let instances = 0;

/**
 * Opens the optional package `@vladmandic/human` as a detector of any number of faces, with the networks it
 * contains: BlazeFace and the face mesh, which is used to align faces. It runs on WebAssembly, which also
 * needs `@tensorflow/tfjs-core`, `tfjs-converter` and `tfjs-backend-wasm` installed; nothing is downloaded.
 * For another backend open Human yourself: {@link humanDetector}.
 *
 * WebAssembly runs on the calling thread: if the event loop must stay free, detect in a worker.
 *
 * @throws CountenanceError ERR_PEER_MISSING, ERR_PEER_LOAD, ERR_FACE_DETECTOR, ERR_INVALID_ARGUMENT
 * @example
 * const predictor = await Predictor.load('my-model', { faces: await openHumanDetector() });
 * for (const { box, label } of await predictor.predictFaces('group.jpg')) console.log(box, label);
 */
export async function openHumanDetector(options: HumanOptions = {}): Promise<FaceDetector> {
  const maxFaces = checkInteger(options.maxFaces ?? 100, 'maxFaces', 1, 1000);
  const minConfidence = checkNumber(options.minConfidence ?? 0.2, 'minConfidence', [0, 1]);
  const { folder, wasm } = findPackage();
  const file = join(folder, 'human.node-wasm.js');
  const { Human } = requireFile(file, name, purpose) as HumanModule;
  const base = `countenance-human-${++instances}://`;
  const off = { enabled: false };
  const human = new Human({
    backend: 'wasm',
    wasmPath: `${wasm}/`,
    modelBasePath: base,
    debug: false,
    // Every image is a new one, not the next frame of a video.
    cacheSensitivity: 0,
    ...{ filter: off, gesture: off, body: off, hand: off, object: off, segmentation: off },
    face: {
      enabled: true,
      detector: { rotation: true, maxDetected: maxFaces, minConfidence },
      mesh: { enabled: true },
      ...{ iris: off, attention: off, description: off, emotion: off },
      ...{ antispoof: off, liveness: off },
    },
  });
  const models = join(folder, '..', 'models');
  human.tf.io.registerLoadRouter((url) =>
    typeof url === 'string' && url.startsWith(base)
      ? { load: () => readNetwork(join(models, basename(url))) }
      : null,
  );
  await load(human);
  return humanDetector(human);
}

/** The folders of Human's builds and of the WebAssembly files. */
function findPackage(): { folder: string; wasm: string } {
  let main: string;
  try {
    main = findPeer(name, purpose);
  } catch (error) {
    const missing = error instanceof CountenanceError && error.code === 'ERR_PEER_MISSING';
    throw missing ? missingPeer(name, purpose, [name, ...engine].join(' ')) : error;
  }
  const { resolve } = createRequire(main);
  const [, , wasm] = engine.map((part) => {
    try {
      return dirname(resolve(part));
    } catch (error) {
      throw missingPeer(part, `${name} on WebAssembly`, engine.join(' '), error);
    }
  });
  return { folder: dirname(main), wasm: wasm! };
}

/** Human logs errors and continues; here they are thrown. */
async function load(human: Human): Promise<void> {
  try {
    await human.load();
    const loaded = human.models.loaded();
    const missing = networks.filter((network) => !loaded.includes(network));
    if (missing.length > 0) throw new Error(`it did not load ${missing.join(' and ')}`);
  } catch (error) {
    throw new CountenanceError('ERR_FACE_DETECTOR', `${name} failed: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** A network in TensorFlow.js format: a JSON file that names the weight files next to it. */
async function readNetwork(file: string): Promise<ModelArtifacts> {
  const { weightsManifest, ...rest } = JSON.parse(await readFile(file, 'utf8')) as {
    readonly modelTopology: unknown;
    readonly weightsManifest: readonly { readonly paths: string[]; readonly weights: unknown[] }[];
  };
  const paths = weightsManifest.flatMap((group) => group.paths);
  const parts = await Promise.all(paths.map((path) => readFile(join(dirname(file), path))));
  return {
    ...rest,
    weightSpecs: weightsManifest.flatMap((group) => group.weights),
    weightData: Uint8Array.from(Buffer.concat(parts)).buffer,
  };
}
