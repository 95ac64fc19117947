import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import { readSafetensors, writeSafetensors } from '../../lib/weights/index.js';
import { command, jsonLines, startChild, type CommandEnd } from './support.js';
import { temporaryDirectory } from '../data/data-support.js';

/** A run of 3 epochs of 6 steps over 48 synthetic faces; 8 more are split off for validation. */
const settings = [
  ...['--data', 'synthetic:56#train', '--validation-fraction', '0.13', '--text', 'synthetic'],
  ...['--size', '32', '--epochs', '3', '--batch-size', '8', '--lr', '0.02', '--seed', '4'],
];

describe('command line: training', function () {
  this.timeout(300_000);
  const temporary = temporaryDirectory();
  let whole: CommandEnd;

  before(async () => {
    whole = await command('train', ...settings, '--out', temporary.path('whole'), '--json');
    assert.equal(whole.status, 0, whole.stderr);
  });

  it('prints an object an epoch and one at the end, and nothing else, with --json', () => {
    const lines = jsonLines(whole.stdout);
    assert.deepEqual(
      lines.map(({ event, epoch }) => [event, epoch]),
      [
        ['epoch', 1],
        ['epoch', 2],
        ['epoch', 3],
        ['end', undefined],
      ],
    );
    for (const line of lines.slice(0, 3)) {
      for (const name of ['loss', 'supervised', 'transformation', 'contrast', 'imagesPerSecond']) {
        assert.ok(Number.isFinite(line[name]) && (line[name] as number) > 0, name);
      }
      const { accuracy, loss, supervised, transformation, contrast } = line as Record<
        string,
        number
      >;
      assert.ok(accuracy! >= 0 && accuracy! <= 1);
      // Means of float32 losses, and the sum of their means.
      assert.ok(Math.abs(supervised! + transformation! + contrast! - loss!) < 1e-3 * loss!);
      const validation = line['validation'] as Record<string, number>;
      for (const name of ['accuracy', 'meanClassAccuracy']) {
        assert.ok(validation[name]! >= 0 && validation[name]! <= 1, name);
      }
    }
    const end = lines[3]!;
    assert.equal(end['model'], temporary.path('whole'));
    assert.equal(end['steps'], 18);
    const best = end['best'] as { epoch: number; accuracy: number };
    const chosen = lines[best.epoch - 1]!['validation'] as { accuracy: number };
    assert.equal(chosen.accuracy, best.accuracy);
  });

  it('says what it trains on, on standard error', () => {
    assert.ok(whole.stderr.includes('13 % of the training images are split off'));
    assert.ok(whole.stderr.includes('hold no knowledge'), 'synthetic text embeddings say so');
    assert.match(whole.stderr, /training part\): 49 images \(surprise 7, .*neutral 7\)/);
    assert.match(whole.stderr, /validation part\): 7 images/);
  });

  it('writes a model directory and the newest checkpoint', async () => {
    const files = [
      'README.md',
      'config.json',
      'model.safetensors',
      'preprocessor_config.json',
      'text_embeddings.safetensors',
    ];
    assert.deepEqual((await readdir(temporary.path('whole'))).sort(), [...files, 'last'].sort());
    const last = await readdir(temporary.path('whole', 'last'));
    for (const file of [...files, 'trainer_state.json']) assert.ok(last.includes(file), file);
    const card = await readFile(temporary.path('whole', 'README.md'), 'utf8');
    assert.ok(card.includes('accuracy') && card.includes('synthetic:56#train'));
  });

  it('prints tables for people', async () => {
    const short = ['--data', 'synthetic:14', '--validation', 'synthetic:7#valid', '--epochs', '1'];
    const { status, stdout } = await command(
      ...['train', ...short, '--size', '32', '--batch-size', '7', '--text', 'synthetic'],
      ...['--out', temporary.path('with space')],
    );
    assert.equal(status, 0);
    assert.match(stdout, /epoch +loss +supervised +transformation +contrast +accuracy +validation/);
    assert.match(stdout, /\n +1\/1 +\d+\.\d{4} /);
    assert.match(stdout, /class +images +recall +precision +F1\n/);
    assert.match(stdout, /best epoch 1 of 1: validation accuracy 0\.\d{4}/);
    assert.ok(stdout.includes(`predict --model '${temporary.path('with space')}' FILE`));
  });

  it('trains without validation, on some classes, within a limit', async () => {
    const { status, stdout, stderr } = await command(
      ...['train', '--data', 'synthetic:140', '--classes', 'neutral,happiness', '--limit', '24'],
      ...['--validation-fraction', '0', '--epochs', '1', '--batch-size', '8', '--size', '32'],
      ...['--text', 'synthetic', '--out', temporary.path('pair'), '--json'],
    );
    assert.equal(status, 0, stderr);
    const [epoch, end] = jsonLines(stdout);
    assert.equal(epoch!['validation'], null);
    assert.equal(end!['best'], null);
    assert.match(stderr, /synthetic:140: 24 images \(neutral \d+, happiness \d+\)/);
    const config = await readFile(temporary.path('pair', 'config.json'), 'utf8');
    const { classes, logitScale } = JSON.parse(config) as { classes: string[]; logitScale: number };
    assert.deepEqual(classes, ['neutral', 'happiness']);
    assert.equal(logitScale, 30, "the synthetic text's own");
  });

  it('starts from other weights', async () => {
    const rest = ['--epochs', '1', '--limit', '14', '--out', temporary.path('warm')];
    const { status, stdout, stderr } = await command(
      ...['train', ...settings, ...rest, '--init', temporary.path('whole'), '--json'],
    );
    assert.equal(status, 0, stderr);
    assert.match(
      stderr,
      /whole\/model\.safetensors: countenance, or the whole model of the authors\n {2}matched +104 /,
    );
    const [init] = jsonLines(stdout);
    assert.equal(init!['event'], 'init');
    assert.equal((init!['matched'] as string[]).length, 104);
    assert.deepEqual(init!['missing'], []);
    assert.equal(init!['file'], temporary.path('whole', 'model.safetensors'));
  });

  it('starts from a part of an encoder only if that is asked for', async () => {
    const { tensors } = await readSafetensors(temporary.path('whole', 'model.safetensors'));
    const odd = new Map(
      [...tensors].map(([name, tensor]) => [name.replace('encoder.layer4.', 'l4.'), tensor]),
    );
    const file = temporary.path('part.safetensors');
    await writeSafetensors(file, odd);
    const run = ['train', ...settings, '--epochs', '1', '--limit', '14', '--init', file];
    const whole = await command(...run, '--out', temporary.path('part'));
    assert.equal(whole.status, 1);
    assert.match(
      whole.stderr,
      /Only 75 of the encoder's 100 tensors are in .*not understood: l4\.0/,
    );
    assert.match(whole.stderr, /--init-partial/);
    assert.equal(existsSync(temporary.path('part', 'config.json')), false);
    const part = await command(...run, '--init-partial', '--out', temporary.path('part'));
    assert.equal(part.status, 0, part.stderr);
    assert.match(part.stderr, /\n {2}matched +79 /);
    assert.match(part.stderr, /\n {2}unexpected +25 {2}l4\.0\.conv1\.weight, /);
  });

  it('uses the settings of the preset, and what is said over it', async () => {
    const { status, stderr } = await command(
      ...['train', '--preset', 'paper-code', '--backbone', 'resnet18', '--size', '32'],
      ...['--data', 'synthetic:14', '--validation', 'synthetic:7#valid', '--epochs', '2'],
      ...['--batch-size', '7', '--text', 'synthetic', '--out', temporary.path('paper'), '--json'],
    );
    assert.equal(status, 0, stderr);
    const text = await readFile(temporary.path('paper', 'last', 'trainer_state.json'), 'utf8');
    const { settings: stored } = JSON.parse(text) as {
      settings: {
        trainer: { learningRate: number; seed: number; augmentation: { eraseProbability: number } };
        fit: { epochs: number; batchSize: number; schedule: string };
      };
    };
    assert.equal(stored.trainer.learningRate, 0.002);
    assert.equal(stored.trainer.seed, 29);
    assert.equal(stored.trainer.augmentation.eraseProbability, 0.5);
    assert.equal(stored.fit.schedule, 'paper-code');
    assert.deepEqual([stored.fit.epochs, stored.fit.batchSize], [2, 7]);
    const config = await readFile(temporary.path('paper', 'config.json'), 'utf8');
    assert.equal((JSON.parse(config) as { logitScale: number }).logitScale, 100);
  });

  it('trains parts at rates of their own: those of the preset, and what is said over them', async () => {
    const out = temporary.path('parts');
    const { status, stderr } = await command(
      ...[
        'train',
        '--preset',
        'resnet18-finetune',
        '--size',
        '32',
        '--epochs',
        '1',
        '--batch-size',
        '7',
      ],
      ...['--data', 'synthetic:14', '--validation', 'synthetic:7#valid', '--text', 'synthetic'],
      ...['--lr-scale', 'backbone=0', '--weight-decay-on', 'matrices', '--out', out, '--json'],
    );
    assert.equal(status, 0, stderr);
    for (const line of [
      'backbone: frozen',
      'transformation: learning rate x 10',
      'no weight decay',
    ])
      assert.ok(stderr.includes(line), `${line} in ${stderr}`);
    const text = await readFile(temporary.path('parts', 'last', 'trainer_state.json'), 'utf8');
    const { settings: stored, metadata } = JSON.parse(text) as {
      settings: { trainer: { groups: object; weightDecayOn: string } };
      metadata: { run: object };
    };
    assert.deepEqual(stored.trainer.groups, {
      transformation: { learningRateScale: 10, weightDecay: 5e-4 },
      backbone: { learningRateScale: 0, weightDecay: 5e-4 },
    });
    assert.equal(stored.trainer.weightDecayOn, 'matrices');
    const { run } = metadata as { run: Record<string, unknown> };
    assert.deepEqual([run['lrScale'], run['weightDecayOn']], [{ backbone: 0 }, 'matrices']);

    const same = await command('train', '--resume', out, '--json');
    assert.equal(same.status, 0, same.stderr);
    const other = await command('train', '--resume', out, '--lr-scale', 'backbone=0.5');
    assert.equal(other.status, 1);
    assert.ok(other.stderr.includes('groups.backbone.learningRateScale 0 (now 0.5)'), other.stderr);
    const none = await command(
      ...['train', '--data', 'synthetic:14', '--size', '32', '--text', 'synthetic'],
      ...['--lr-scale', 'head=10', '--out', temporary.path('no-head')],
    );
    assert.equal(none.status, 1);
    assert.match(none.stderr, /groups \(of resnet18\).*'head' \(ERR_INVALID_ARGUMENT\)/);
  });

  describe('interrupted', () => {
    const weights = (...path: string[]): Promise<Buffer> =>
      readFile(temporary.path(...path, 'model.safetensors'));

    const sameAsWhole = async (directory: string): Promise<void> => {
      assert.ok((await weights('whole')).equals(await weights(directory)), 'best model');
      assert.ok((await weights('whole', 'last')).equals(await weights(directory, 'last')), 'last');
    };

    it('by SIGINT saves, says how to go on, and goes on with the same bits', async () => {
      const out = temporary.path('stopped');
      const child = startChild('train', ...settings, '--out', out, '--json');
      await child.saw('"epoch":1');
      child.process.kill('SIGINT');
      const { status, signal, stdout, stderr } = await child.end;
      assert.deepEqual({ status, signal }, { status: 130, signal: null }, stderr);
      const last = jsonLines(stdout).at(-1)!;
      assert.equal(last['event'], 'interrupted');
      assert.ok((last['step'] as number) >= 6 && (last['step'] as number) < 18);
      assert.ok(stderr.endsWith(`continue with: countenance train --resume ${out}\n`), stderr);

      const resumed = await command('train', '--resume', out, '--json');
      assert.equal(resumed.status, 0, resumed.stderr);
      assert.equal(jsonLines(resumed.stdout).at(-1)!['event'], 'end');
      await sameAsWhole('stopped');
    });

    it('by SIGKILL goes on from the last checkpoint with the same bits, also elsewhere', async () => {
      const out = temporary.path('killed');
      const child = startChild(
        'train',
        ...settings,
        '--out',
        out,
        '--checkpoint-steps',
        '2',
        '--json',
      );
      await child.saw('"epoch":1');
      child.process.kill('SIGKILL');
      assert.equal((await child.end).signal, 'SIGKILL');
      const elsewhere = temporary.path('elsewhere');
      const resumed = await command(
        ...['train', ...settings, '--resume', out, '--out', elsewhere, '--json'],
      );
      assert.equal(resumed.status, 0, resumed.stderr);
      await sameAsWhole('elsewhere');
    });

    it('refuses to go on with other settings, and tells them', async () => {
      const out = temporary.path('whole');
      const cases: [string[], ...string[]][] = [
        [['--epochs', '9'], 'ERR_CHECKPOINT', 'epochs 3 (now 9)'],
        [['--lr', '0.5'], 'ERR_CHECKPOINT', 'learningRate 0.02 (now 0.5)'],
        [['--size', '48'], 'ERR_CHECKPOINT', 'inputSize 32 (now 48)'],
        [['--data', 'synthetic:70'], 'ERR_CHECKPOINT', 'data'],
      ];
      for (const [options, ...parts] of cases) {
        const { status, stderr } = await command('train', '--resume', out, ...options);
        assert.equal(status, 1);
        for (const part of parts) assert.ok(stderr.includes(part), `${part} in ${stderr}`);
      }
      const none = await command('train', '--resume', temporary.path('nowhere'));
      assert.equal(none.status, 1);
      assert.match(none.stderr, /^countenance: [^\n]*nowhere[^\n]* \(ERR_FILE_NOT_FOUND\)\n$/);
    });
  });
});
