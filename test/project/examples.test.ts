import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import sharp from 'sharp';
import { POST } from '../../examples/next-route.js';
import { frames } from '../../examples/video.js';
import { acceptedFormats, createPredictionServer } from '../../examples/server.js';
import type { Model } from '../../lib/index.js';
import { Predictor } from '../../lib/index.js';
import { faces, makeModel, noise, side } from '../api-support.js';
import { collect, temporaryDirectory } from '../data/data-support.js';

const root = join(__dirname, '../..');

interface End {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs an example as its first lines say. */
async function example(name: string, args: readonly string[], input?: Uint8Array): Promise<End> {
  const child = spawn(process.execPath, ['-r', 'tsx/cjs', join('examples', name), ...args], {
    cwd: root,
    stdio: 'pipe',
  });
  const texts = [child.stdout, child.stderr].map(async (stream) => {
    let text = '';
    for await (const piece of stream.setEncoding('utf8')) text += piece as string;
    return text;
  });
  // A program that ends early closes its input: its exit status says why.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [status] = (await once(child, 'close')) as [number | null];
  const [stdout, stderr] = await Promise.all(texts);
  return { status, stdout: stdout!, stderr: stderr! };
}

describe('examples', function () {
  this.timeout(300_000);
  const temporary = temporaryDirectory();
  const files: string[] = [];
  let directory: string;
  let model: Model;
  let predictor: Predictor;

  before(async () => {
    model = await makeModel();
    predictor = new Predictor(model, { formats: acceptedFormats });
    directory = temporary.path('model');
    await model.save(directory);
    const dataset = faces(3);
    for (let i = 0; i < dataset.size; i++) {
      const { data, width, height } = await dataset.load(i);
      files.push(temporary.path(`${i}.png`));
      await sharp(data, { raw: { width, height, channels: 3 } }).toFile(files[i]!);
    }
  });
  after(() => model.close());

  it('server.ts answers pictures with predictions, and everything else with a reason', async () => {
    const server = createPredictionServer(predictor);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    const post = async (body: Uint8Array, path = '/predict') => {
      const response = await fetch(url + path, { method: 'POST', body: Buffer.from(body) });
      return { status: response.status, body: (await response.json()) as object };
    };
    try {
      const png = await sharp(files[0]).png().toBuffer();
      const answers = await Promise.all([post(png), post(png), post(png)]);
      const { label, scores } = await predictor.predict(files[0]!);
      for (const { status, body } of answers) {
        assert.equal(status, 200);
        assert.equal((body as { label: string }).label, label);
        assert.deepEqual(Object.keys((body as { scores: object }).scores), Object.keys(scores));
      }
      const health = await fetch(`${url}/health`);
      const { classes } = (await health.json()) as { classes: string[] };
      assert.deepEqual(classes, model.config.classes);
      const text = await post(Buffer.from('no picture'));
      assert.equal(text.status, 415);
      assert.equal((text.body as { code: string }).code, 'ERR_IMAGE_DECODE');
      const gif = await post(await sharp(files[0]).gif().toBuffer());
      assert.equal(gif.status, 415, 'a format that nobody needs here');
      assert.match((gif.body as { error: string }).error, /is GIF, but only jpeg, png, webp/);
      assert.equal((await post(png, '/elsewhere')).status, 404);
      assert.equal((await post(new Uint8Array(11 * 1024 * 1024))).status, 413);
      assert.equal((await post(png)).status, 200, 'it goes on');
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('next-route.ts answers a form with a prediction, and everything else with a reason', async () => {
    process.env['COUNTENANCE_MODEL'] = directory;
    const send = async (field: string, content: Uint8Array) => {
      const body = new FormData();
      body.set(field, new Blob([Buffer.from(content)]), 'face.png');
      const request = new Request('http://localhost/predict', { method: 'POST', body });
      const response = await POST(request);
      return { status: response.status, body: (await response.json()) as { label: string } };
    };
    try {
      const png = await readFile(files[0]!);
      const { status, body } = await send('face', png);
      assert.equal(status, 200);
      assert.equal(body.label, (await predictor.predict(files[0]!)).label);
      assert.equal((await send('other', png)).status, 400);
      assert.equal((await send('face', Buffer.from('no picture'))).status, 415);
      assert.equal((await send('face', await sharp(png).gif().toBuffer())).status, 415);
    } finally {
      delete process.env['COUNTENANCE_MODEL'];
      const store = globalThis as { predictor?: Promise<Predictor> };
      (await store.predictor)?.close();
      delete store.predictor;
    }
  });

  it('worker-pool.ts predicts files in workers, in order', async () => {
    const bad = temporary.path('bad.png');
    await writeFile(bad, 'no picture');
    const list = [files[0]!, bad, files[1]!, files[2]!];
    const [{ status, stdout, stderr }, failed] = await Promise.all([
      example('worker-pool.ts', [directory, '2', ...list]),
      example('worker-pool.ts', ['nowhere', '1', files[0]!]),
    ]);
    assert.equal(status, 0, stderr);
    const lines = stdout.trim().split('\n');
    assert.equal(lines.length, 4);
    for (const [i, file] of list.entries()) assert.ok(lines[i]!.startsWith(`${file}: `), lines[i]);
    assert.match(lines[1]!, /is a text that starts with/);
    const { label } = await predictor.predict(files[2]!);
    assert.ok(lines[3]!.includes(`: ${label} `));
    assert.equal(failed.status, 1);
    assert.match(failed.stderr, /nowhere/);
  });

  it('video.ts cuts a pipe into frames, wherever its pieces end', async () => {
    const bytes = noise(5);
    const size = side * side * 3;
    for (const length of [1000, size, size + 1, bytes.length]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / length) }, (_, i) =>
        bytes.subarray(i * length, (i + 1) * length),
      );
      const cut = await collect(frames(Readable.from(pieces), side, side));
      assert.equal(cut.length, 5);
      cut.forEach(({ data }, i) => {
        assert.deepEqual(data, bytes.slice(i * size, (i + 1) * size), `pieces of ${length}`);
      });
    }
    await assert.rejects(
      collect(frames(Readable.from([bytes.subarray(0, size + 7)]), side, side)),
      /7 of the 3072 bytes/,
    );
  });

  it('video.ts tells the expressions of a raw video', async () => {
    const still = await sharp(files[0]).resize(side, side).raw().toBuffer();
    const video = Buffer.concat(Array.from({ length: 40 }, () => still));
    const args = [directory, String(side), String(side), '10'];
    const [{ status, stdout, stderr }, cut] = await Promise.all([
      example('video.ts', args, video),
      example('video.ts', args, video.subarray(0, 100)),
    ]);
    assert.equal(status, 0, stderr);
    const pixels = { data: new Uint8Array(still), width: side, height: side };
    const { label } = await predictor.predict(pixels);
    assert.equal(stdout, `0.00 s  ${label}\n`);
    assert.equal(cut.status, 1);
    assert.match(cut.stderr, /ended with 100/);
  });

  it('tfjs.ts takes tensors and gives tensors', async () => {
    const { status, stdout, stderr } = await example('tfjs.ts', [directory, files[0]!]);
    assert.equal(status, 0, stderr);
    const { label, score } = await predictor.predict(files[0]!);
    assert.ok(stdout.includes(`${label} ${score.toFixed(2)}\n`), stdout);
    assert.match(stdout, /likeness \[\s+\[ (1|1\.00000\d+|0\.99999\d+), /);
    assert.match(stdout, /tensors left 0\n$/);
  });
});
