import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import sharp from 'sharp';
import ts from 'typescript';
import { Predictor, type Model } from '../../lib/index.js';
import { faces, makeModel } from '../api-support.js';
import { temporaryDirectory } from '../data/data-support.js';

const root = join(__dirname, '../..');
const peers = (...parts: string[]): string =>
  join(process.env['COUNTENANCE_PEERS']!, 'node_modules', ...parts);

/** The compiler's messages about a file whose packages are in the folder of optional packages. */
function typeErrors(file: string): string[] {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) =>
    ts.sys.readFile(path),
  ) as { config: object };
  const { options } = ts.parseJsonConfigFileContent({ ...config, files: [file] }, ts.sys, root);
  const program = ts.createProgram([file], {
    ...options,
    types: ['node'],
    paths: { express: [peers('@types/express')], fastify: [peers('fastify')] },
  });
  return ts
    .getPreEmitDiagnostics(program)
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
}

describe('examples with a framework', function () {
  this.timeout(300_000);
  const temporary = temporaryDirectory();
  let model: Model;
  let directory: string;
  let picture: Buffer;

  before(async () => {
    model = await makeModel();
    directory = temporary.path('model');
    await model.save(directory);
    const { data, width, height } = await faces(1).load(0);
    picture = await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer();
  });
  after(() => model.close());

  for (const name of ['express', 'fastify']) {
    describe(`${name}.ts`, () => {
      const file = join(root, 'examples', `${name}.ts`);

      it('has the right types', () => {
        assert.deepEqual(typeErrors(file), []);
      });

      it('answers pictures with predictions, everything else with a reason, and ends', async () => {
        const child = spawn(process.execPath, ['-r', 'tsx/cjs', file, directory, '0'], {
          cwd: root,
          stdio: ['ignore', 'pipe', 'pipe'],
          env: { ...process.env, NODE_PATH: peers() },
        });
        const ended = once(child, 'close') as Promise<[number | null]>;
        let errors = '';
        child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
        try {
          let port = '';
          for await (const line of createInterface(child.stdout)) {
            port = /port: (\d+)/.exec(line)?.[1] ?? '';
            if (port !== '') break;
          }
          assert.notEqual(port, '', errors);
          const url = `http://127.0.0.1:${port}`;
          const post = async (body: Uint8Array, type = 'image/png') => {
            const response = await fetch(`${url}/predict`, {
              method: 'POST',
              body: Buffer.from(body),
              headers: { 'content-type': type },
            });
            return { status: response.status, body: (await response.json()) as object };
          };
          const { label } = await new Predictor(model).predict(picture);
          for (const answer of await Promise.all([1, 2, 3].map(() => post(picture)))) {
            assert.equal(answer.status, 200);
            assert.equal((answer.body as { label: string }).label, label);
          }
          assert.equal((await post(picture, 'application/octet-stream')).status, 200);
          const health = (await (await fetch(`${url}/health`)).json()) as { classes: string[] };
          assert.deepEqual(health.classes, model.config.classes);
          const text = await post(Buffer.from('no picture'));
          assert.equal(text.status, 415);
          assert.equal((text.body as { code: string }).code, 'ERR_IMAGE_DECODE');
          assert.equal((await post(new Uint8Array(11 * 1024 * 1024))).status, 413);
          assert.equal((await post(picture)).status, 200, 'it goes on');
          assert.equal((await fetch(`${url}/elsewhere`)).status, 404);
        } finally {
          child.kill('SIGTERM');
        }
        const [status] = await ended;
        assert.equal(status, 0, errors);
      });
    });
  }
});
