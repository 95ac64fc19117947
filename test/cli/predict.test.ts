import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { reportHtml } from '../../lib/cli/report.js';
import { syntheticDataset } from '../../lib/data/formats/synthetic.js';
import { info } from '../../lib/load-native.js';
import { ConfusionMatrix } from '../../lib/metrics.js';
import { Model } from '../../lib/model/model.js';
import { evaluate } from '../../lib/model/evaluate.js';
import { Predictor } from '../../lib/predict/predictor.js';
import { syntheticTextEmbeddings } from '../../lib/text/synthetic.js';
import { escapeHtml } from '../../lib/train/logs/escape.js';
import { command, jsonLines, startChild } from './support.js';
import { temporaryDirectory } from '../data/data-support.js';

describe('command line: evaluate and predict', function () {
  this.timeout(300_000);
  const temporary = temporaryDirectory();
  const dataset = syntheticDataset(21, { split: 2 });
  let directory: string;
  let model: Model;
  const files: string[] = [];

  before(async () => {
    directory = temporary.path('model');
    model = await Model.create({
      backbone: 'resnet18',
      inputSize: 32,
      textEmbeddings: syntheticTextEmbeddings(dataset.classes),
      seed: 8,
    });
    await model.save(directory);
    for (let i = 0; i < 5; i++) {
      const { data, width, height } = await dataset.load(i);
      files.push(temporary.path(`face ${i}.png`));
      await sharp(data, { raw: { width, height, channels: 3 } }).toFile(files[i]!);
    }
  });
  after(() => model.close());

  describe('evaluate', () => {
    it('prints the figures of the library as one JSON object', async () => {
      const { status, stdout, stderr } = await command(
        ...['evaluate', '--model', directory, '--data', 'synthetic:21#test', '--json'],
      );
      assert.equal(status, 0, stderr);
      const [result, ...rest] = jsonLines(stdout);
      assert.deepEqual(rest, []);
      const metrics = await evaluate(model, 'synthetic:21#test');
      assert.deepEqual(result, JSON.parse(JSON.stringify(metrics)));
      assert.equal(result!['count'], 21);
      const confusion = result!['confusion'] as number[][];
      assert.equal(
        confusion.flat().reduce((sum, count) => sum + count, 0),
        21,
      );
      assert.deepEqual(result!['classes'], dataset.classes);
    });

    it('prints tables, and writes a page that needs nothing else', async () => {
      const report = temporary.path('report.html');
      const { status, stdout, stderr } = await command(
        ...['evaluate', '--model', directory, '--data', 'synthetic:70#test', '--limit', '14'],
        ...['--batch-size', '5', '--report', report],
      );
      assert.equal(status, 0, stderr);
      assert.match(
        stdout,
        /accuracy 0\.\d{4}, mean class accuracy 0\.\d{4}, macro F1 .* on 14 images/,
      );
      assert.match(stdout, /true \\ predicted +surprise/);
      const page = await readFile(report, 'utf8');
      assert.match(page, /^<!doctype html>/);
      assert.ok(page.includes('synthetic:70#test') && page.includes('Confusion matrix'));
      assert.doesNotMatch(page, /(src|href|url)\s*[=(]|<script|@import/);
    });

    it('escapes everything in the page', () => {
      const name = `<img src=x onerror="alert('1')">&`;
      assert.equal(
        escapeHtml(name),
        '&lt;img src=x onerror=&quot;alert(&#39;1&#39;)&quot;&gt;&amp;',
      );
      const confusion = new ConfusionMatrix([name, 'neutral']);
      confusion.add(0, 1);
      const config = { ...model.config, classes: [name, 'neutral'] };
      const page = reportHtml({ metrics: confusion.metrics(), model: name, data: name, config });
      assert.ok(!page.includes('<img') && !page.includes("'1'"));
      assert.equal(
        page.split(escapeHtml(name)).length - 1,
        6,
        'title, heading, data, three headers',
      );
    });
  });

  describe('predict', () => {
    it('prints an object a file in the order of the files', async () => {
      const { status, stdout, stderr } = await command(
        ...['predict', '--model', directory, '--batch', '2', '--json', ...files],
      );
      assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
      const lines = jsonLines(stdout);
      assert.deepEqual(
        lines.map(({ file }) => file),
        files,
      );
      const predictions = await new Predictor(model).predict(files);
      lines.forEach((line, i) => {
        const { label, scores, score, intensity } = predictions[i]!;
        assert.equal(line['label'], label);
        assert.deepEqual(Object.keys(line['scores'] as object), Object.keys(scores));
        // Another batch size may sum in another order.
        assert.ok(Math.abs((line['score'] as number) - score) < 1e-4);
        assert.ok(Math.abs((line['intensity'] as number) - intensity) < 1e-4);
      });
    });

    it('tells the expression of one picture', async () => {
      const { status, stdout } = await command('predict', '--model', directory, files[0]!);
      assert.equal(status, 0);
      const { label, score } = await new Predictor(model).predict(files[0]!);
      assert.ok(stdout.startsWith(`${files[0]}  ${label}`), stdout);
      assert.ok(stdout.includes(score.toFixed(4)) && /intensity [01]\.\d\d\n$/.test(stdout));
    });

    it('tells the best classes with --top-k', async () => {
      const args = ['predict', '--model', directory, '--top-k', '2', files[0]!];
      const { top } = await new Predictor(model).predict(files[0]!, { topK: 2 });
      const text = await command(...args);
      assert.equal(text.status, 0, text.stderr);
      const places = top.map(({ label, score }) => {
        const at = text.stdout.search(new RegExp(`${label} +${score.toFixed(4)}`));
        assert.ok(at > 0, text.stdout);
        return at;
      });
      assert.ok(places[0]! < places[1]!);
      const json = await command(...args, '--json');
      assert.deepEqual(
        (jsonLines(json.stdout)[0]!['top'] as { label: string }[]).map(({ label }) => label),
        top.map(({ label }) => label),
      );
      const many = await command('predict', '--model', directory, '--top-k', '99', files[0]!);
      assert.equal(many.status, 1);
      assert.match(many.stderr, /from 1 to 7 for topK.*\(ERR_INVALID_ARGUMENT\)/);
    });

    it('decodes the formats of --formats, by what a file is', async () => {
      const gif = temporary.path('gif.png');
      await sharp(files[0]).gif().toFile(gif);
      const run = (...argv: string[]) => command('predict', '--model', directory, ...argv);
      assert.equal((await run(gif)).status, 0);
      const { status, stderr } = await run('--formats', 'jpeg,png', gif);
      assert.equal(status, 1);
      assert.ok(stderr.includes(`Image '${gif}' is GIF, but only jpeg, png are decoded`), stderr);
      const wrong = await run('--formats', 'jpg', gif);
      assert.match(wrong.stderr, /formats among jpeg, png, .* for --formats but received 'jpg'/);
    });

    it('goes on after pictures that cannot be read, and then fails', async () => {
      const broken = ['missing.png', 'folder', 'text.png', 'cut.jpg'].map((name) =>
        temporary.path(name),
      );
      await mkdir(broken[1]!);
      await writeFile(broken[2]!, 'no picture at all');
      const jpeg = await sharp(files[0]).resize(300, 300).jpeg().toBuffer();
      await writeFile(broken[3]!, jpeg.subarray(0, jpeg.length / 2));
      const mixed = [
        files[0]!,
        broken[0]!,
        broken[1]!,
        files[1]!,
        broken[2]!,
        broken[3]!,
        files[2]!,
      ];

      const json = await startChild('predict', '--model', directory, '--json', ...mixed).end;
      assert.deepEqual({ status: json.status, signal: json.signal }, { status: 1, signal: null });
      const lines = jsonLines(json.stdout);
      assert.deepEqual(
        lines.map(({ file, label, error }) => [
          file,
          (error as { code?: string })?.code ?? typeof label,
        ]),
        [
          [mixed[0], 'string'],
          [mixed[1], 'ERR_FILE_NOT_FOUND'],
          [mixed[2], 'ERR_NOT_A_FILE'],
          [mixed[3], 'string'],
          [mixed[4], 'ERR_IMAGE_DECODE'],
          [mixed[5], 'ERR_IMAGE_DECODE'],
          [mixed[6], 'string'],
        ],
      );
      for (const { file, error } of lines) {
        if (error) assert.ok((error as { message: string }).message.includes(file as string));
      }

      const people = await command('predict', '--model', directory, ...mixed);
      assert.equal(people.status, 1);
      assert.equal(people.stdout.trim().split('\n').length, 3);
      const errors = people.stderr.trim().split('\n');
      assert.equal(errors.length, 5);
      for (const [i, file] of broken.entries()) {
        assert.ok(errors[i]!.startsWith('countenance: ') && errors[i]!.includes(file), errors[i]);
      }
      assert.equal(errors[4], 'countenance: 4 of 7 images failed');
    });
  });

  describe('bad input fails with one line', () => {
    /** Expects exit status 1 and a last line that names the thing. */
    async function fails(argv: readonly string[], code: string, ...parts: string[]): Promise<void> {
      const { status, stdout, stderr } = await command(...argv);
      const what = argv.join(' ');
      assert.equal(status, 1, `${what}: ${stderr}`);
      assert.equal(stdout, '', what);
      const lines = stderr.trimEnd().split('\n');
      assert.equal(lines.filter((line) => line.startsWith('countenance: ')).length, 1, stderr);
      const last = lines.at(-1)!;
      assert.match(last, new RegExp(`^countenance: .* \\(${code}\\)$`), what);
      for (const part of parts) assert.ok(last.includes(part), `'${last}' mentions '${part}'`);
    }

    const train = (spec: string, ...rest: string[]): string[] => [
      ...['train', '--data', spec, '--size', '32', '--epochs', '1', '--batch-size', '7', '--json'],
      ...['--text', 'synthetic', '--out', temporary.path('never'), ...rest],
    ];
    const evaluation = (spec: string, ...rest: string[]): string[] => [
      ...['evaluate', '--model', directory, '--data', spec, ...rest],
    ];

    it('of a model directory', async () => {
      const predict = (path: string): string[] => ['predict', '--model', path, files[0]!];
      await fails(predict(temporary.path('nowhere')), 'ERR_FILE_NOT_FOUND', 'nowhere');
      await fails(predict(files[0]!), 'ERR_NOT_A_DIRECTORY', files[0]!);
      const empty = temporary.path('empty');
      await mkdir(empty);
      await fails(predict(empty), 'ERR_CHECKPOINT', empty, 'config.json');

      const damaged = temporary.path('damaged');
      await mkdir(damaged);
      for (const name of await readdir(directory)) {
        await writeFile(join(damaged, name), await readFile(join(directory, name)));
      }
      const weights = join(damaged, 'model.safetensors');
      const bytes = await readFile(weights);
      await writeFile(weights, bytes.subarray(0, bytes.length / 2));
      await fails(predict(damaged), 'ERR_SAFETENSORS', weights);
      const huge = Buffer.from(bytes.subarray(0, 1000));
      huge.writeBigUInt64LE(2n ** 60n);
      await writeFile(weights, huge);
      await fails(predict(damaged), 'ERR_SAFETENSORS', weights);
      await writeFile(join(damaged, 'config.json'), '{');
      await fails(predict(damaged), 'ERR_CHECKPOINT', 'config.json');
    });

    it('of a data set', async () => {
      await fails(train('folder:nowhere'), 'ERR_FILE_NOT_FOUND', 'nowhere');
      await fails(evaluation('nowhere'), 'ERR_DATASET_FORMAT', 'nowhere', 'ferplus');
      await fails(evaluation('synthetic:0'), 'ERR_DATASET_FORMAT', 'synthetic:0');
      const root = temporary.path('set');
      await mkdir(root);
      await fails(train(`folder:${root}`), 'ERR_DATASET_EMPTY', root);
      await mkdir(join(root, 'neutral'));
      await mkdir(join(root, 'anger'));
      await fails(train(`folder:${root}`), 'ERR_DATASET_EMPTY', root);
      const face = await readFile(files[0]!);
      for (const name of ['a.png', 'b.png']) await writeFile(join(root, 'neutral', name), face);
      await fails(train(`folder:${root}`), 'ERR_DATASET_CLASS_EMPTY', 'anger');
      const cut = join(root, 'anger', 'cut.png');
      await writeFile(cut, face.subarray(0, 200));
      const all = train(`folder:${root}`, '--validation-fraction', '0');
      await fails(all, 'ERR_IMAGE_DECODE', cut);
      await fails(evaluation(`folder:${root}`), 'ERR_IMAGE_DECODE', cut);
      await fails([...all, '--classes', 'anger,joy'], 'ERR_INVALID_ARGUMENT', 'joy');
      await fails([...all, '--classes', 'neutral'], 'ERR_INVALID_ARGUMENT', 'classes');
      await fails([...all, '--neutral', 'calm'], 'ERR_INVALID_ARGUMENT', 'calm');

      const rafdb = temporary.path('rafdb');
      await mkdir(join(rafdb, 'Image', 'aligned'), { recursive: true });
      await writeFile(join(rafdb, 'list_patition_label.txt'), 'train_00001.jpg 9\n');
      await writeFile(join(rafdb, 'Image', 'aligned', 'train_00001_aligned.jpg'), face);
      await fails(evaluation(`rafdb:${rafdb}#train`), 'ERR_LABEL_RANGE', '9');
      const csv = temporary.path('unknown.csv');
      await writeFile(csv, `path,label\n${files[0]},boredom\n${files[1]},neutral\n`);
      await fails(evaluation(`csv:${csv}`), 'ERR_DATASET_FORMAT', 'boredom');
    });

    it('of text embeddings and weights', async () => {
      const text = async (name: string, content: string): Promise<string[]> => {
        const file = temporary.path(name);
        await writeFile(file, content);
        return train('synthetic:14', '--text', file);
      };
      const rows = (value: (row: number) => number | null): string =>
        JSON.stringify(
          Object.fromEntries(
            dataset.classes.map((name, row) => [name, new Array(512).fill(value(row))]),
          ),
        );
      await fails(train('synthetic:14', '--text', 'none.npy'), 'ERR_FILE_NOT_FOUND', 'none.npy');
      await fails(train('synthetic:14', '--text', 'clip'), 'ERR_TEXT_EMBEDDINGS', 'clip', '.npy');
      await fails(
        await text(
          'nan.json',
          rows(() => null),
        ),
        'ERR_TEXT_EMBEDDINGS',
        'nan.json',
      );
      await fails(
        await text(
          'inf.json',
          rows(() => 1e300),
        ),
        'ERR_NOT_FINITE',
        'inf.json',
      );
      await fails(
        await text(
          'zero.json',
          rows((row) => (row === 2 ? 0 : 1)),
        ),
        'ERR_ZERO_NORM',
        'disgust',
      );
      await fails(
        await text('two.json', '{"neutral":[1,2],"joy":[2,1]}'),
        'ERR_TEXT_EMBEDDINGS',
        'fear',
      );

      const init = temporary.path('init.safetensors');
      await writeFile(init, 'short');
      await fails(train('synthetic:14', '--init', init), 'ERR_SAFETENSORS', init);
      const theirs = join(directory, 'text_embeddings.safetensors');
      await fails(train('synthetic:14', '--init', theirs), 'ERR_SHAPE_MISMATCH', theirs);
      await fails(train('synthetic:14', '--init', 'w.pth'), 'ERR_FILE_NOT_FOUND', 'w.pth');
    });

    it('of a device or a precision that is not there', async function () {
      if (!info().cuda.available) {
        const cuda = train('synthetic:14', '--device', 'cuda');
        await fails(cuda, 'ERR_DEVICE_UNAVAILABLE', info().cuda.reason);
      }
      const bf16 = train('synthetic:14', '--device', 'cpu', '--precision', 'bf16');
      await fails(bf16, 'ERR_UNSUPPORTED', 'bf16');
    });

    it('of an output that cannot be written, before any work', async () => {
      const below = join(files[0]!, 'model');
      await fails([...train('synthetic:14'), '--out', below], 'ERR_WRITE', below);
      await fails([...train('synthetic:14'), '--out', files[0]!], 'ERR_WRITE', files[0]!);
      const nowhere = temporary.path('no folder', 'report.html');
      await fails(evaluation('synthetic:7', '--report', nowhere), 'ERR_WRITE', nowhere);
      await fails(evaluation('synthetic:7', '--report', directory), 'ERR_WRITE', directory);
      const left = await readdir(temporary.path());
      assert.ok(!left.some((name) => name.startsWith('.probe')), 'no probe is left');
    });
  });
});
