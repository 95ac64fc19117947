import assert from 'node:assert/strict';
import sharp from 'sharp';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { command, jsonLines, startChild } from './support.js';

const commands = ['train', 'evaluate', 'predict', 'embed-text', 'export', 'info'];

describe('command line: usage', function () {
  this.timeout(300_000);

  it('has help with examples for every command', async () => {
    const main = await command('--help');
    assert.equal(main.status, 0);
    assert.equal(main.stderr, '');
    for (const name of commands) {
      assert.ok(main.stdout.includes(name), name);
      const { status, stdout, stderr } = await command(name, '--help');
      assert.equal(status, 0);
      assert.equal(stderr, '');
      assert.match(stdout, new RegExp(`^Usage: countenance ${name} `));
      assert.ok(stdout.includes('Examples:') && stdout.includes(`$ countenance ${name} `), name);
      assert.ok(stdout.includes('--json'), name);
    }
    for (const name of ['train', 'evaluate']) {
      const { stdout } = await command(name, '--help');
      for (const format of ['synthetic:', 'folder:', 'csv:', 'ferplus:', 'rafdb:']) {
        assert.ok(stdout.includes(format), `${name} explains ${format}`);
      }
    }
  });

  it('prints its version', async () => {
    const { version } = JSON.parse(readFileSync(join(__dirname, '../../package.json'), 'utf8')) as {
      version: string;
    };
    const { status, stdout } = await command('--version');
    assert.deepEqual({ status, stdout }, { status: 0, stdout: `${version}\n` });
  });

  it('answers wrong usage with one line and exit status 2', async () => {
    const train = ['train', '--data', 'synthetic:70', '--text', 'synthetic', '--out', 'x'];
    const embed = ['embed-text', '--encoder', 'm', '--out', 'x'];
    const cases: [string[], ...string[]][] = [
      [['paint'], 'paint'],
      [['info', '--colour'], '--colour'],
      [['predict', 'a.png'], '--model'],
      [['predict', '--model', 'm'], 'file'],
      [['evaluate', '--model', 'm'], '--data'],
      [['embed-text', '--encoder', 'm', '--out', 'x'], '--classes'],
      [[...embed, '--classes', 'joy'], 'two or more'],
      [[...embed, '--classes', 'joy,joy'], 'distinct'],
      [[...embed, '--classes', 'joy=,neutral'], 'name=words'],
      [[...embed, '--classes', 'joy,neutral', '--template', 'a face'], '{class}'],
      [['export', '--model', 'm', '--format', 'caffe', '--out', 'x'], 'caffe', 'onnx'],
      [['export', '--model', 'm', '--format', 'onnx'], '--out'],
      [['train', '--text', 'synthetic', '--out', 'x'], '--data'],
      [['train', '--data', 'synthetic:70', '--out', 'x'], '--text', 'synthetic'],
      [['train', '--data', 'synthetic:70', '--text', 'synthetic'], '--out'],
      [[...train, '--epochs', 'many'], '--epochs', 'many', 'whole number'],
      [[...train, '--epochs', '0'], '--epochs', 'from 1'],
      [[...train, '--batch-size', '1.5'], '--batch-size'],
      [[...train, '--size', '16'], '--size', '32'],
      [[...train, '--lr', '-1'], '--lr', 'above 0'],
      [[...train, '--lr', ''], '--lr'],
      [[...train, '--lr-scale', '0.1'], '--lr-scale', 'name=number', 'at least 0'],
      [[...train, '--lr-scale', 'backbone=-1'], '--lr-scale', 'at least 0'],
      [[...train, '--lr-scale', 'backbone=NaN'], '--lr-scale', 'at least 0'],
      [[...train, '--lr-scale', 'neck=2'], '--lr-scale', 'backbone, head, transformation'],
      [[...train, '--weight-decay-on', 'norms'], 'norms', 'matrices'],
      [[...train, '--class-weights', 'fear=0'], '--class-weights', 'above 0'],
      [[...train, '--validation-fraction', '1'], '--validation-fraction'],
      [
        [...train, '--backbone', 'vgg'],
        'vgg',
        'resnet18',
        'resnet34',
        'resnet50',
        'swin-t',
        'swin-s',
      ],
      [[...train, '--optimizer', 'adam'], 'adam', 'adamw'],
      [[...train, '--contrast', 'none'], 'pairwise', 'diagonal'],
      [[...train, '--precision', 'int8'], 'fp32', 'bf16'],
      [[...train, '--preset', 'mine'], 'paper-code'],
      [[...train, '--classes', 'a,,b'], '--classes'],
      [[...train, '--device', 'tpu'], 'tpu', 'cuda'],
      [[...train, '--device', 'cuda:x'], 'cuda:x', 'cuda:N'],
      [['predict', '--model', 'm', 'a.png', '--precision', 'fp16'], 'fp16', 'bf16'],
      [[...train, '--validation', 'synthetic:7', '--validation-fraction', '0.2'], 'cannot be used'],
      [['train', '--resume', 'x', '--init', 'y'], '--init', '--resume'],
      [['train', 'extra', '--resume', 'x'], 'too many arguments'],
    ];
    for (const [argv, ...parts] of cases) {
      const { status, stdout, stderr } = await command(...argv);
      assert.equal(status, 2, `${argv.join(' ')}: ${stderr}`);
      assert.equal(stdout, '');
      assert.match(stderr, /^countenance: [^\n]+\n$/, argv.join(' '));
      for (const part of parts) assert.ok(stderr.includes(part), `'${stderr}' mentions '${part}'`);
    }
    const nothing = await command();
    assert.equal(nothing.status, 2);
    assert.ok(nothing.stderr.includes('Usage: countenance'));
  });

  it('tells what the installation is', async () => {
    const people = await command('info');
    assert.equal(people.status, 0);
    assert.ok(people.stdout.includes(process.versions.node));
    const programs = await command('info', '--json');
    assert.equal(programs.stderr, '');
    const [info, ...rest] = jsonLines(programs.stdout);
    assert.deepEqual(rest, []);
    assert.equal(info!['node'], process.versions.node);
    const { sharp: version, vips } = sharp.versions;
    assert.deepEqual(info!['images'], { sharp: version, libvips: vips });
    assert.ok(people.stdout.includes(`sharp ${version}, libvips ${vips}\n`), people.stdout);
    const { cpu, cuda } = info as { cpu: { threads: number }; cuda: { available: boolean } };
    assert.ok(cpu.threads >= 1);
    assert.equal(typeof cuda.available, 'boolean');
  });

  it('ends a process with the exit status of the command', async () => {
    const ends = await Promise.all(
      [
        ['info', '--json'],
        ['info', '--colour'],
        ['predict', '--model', 'nowhere', 'a.png'],
      ].map((argv) => startChild(...argv).end),
    );
    assert.deepEqual(
      ends.map(({ status, signal }) => ({ status, signal })),
      [0, 2, 1].map((status) => ({ status, signal: null })),
    );
    assert.equal(jsonLines(ends[0]!.stdout).length, 1);
    assert.match(ends[2]!.stderr, /^countenance: .*'nowhere'.* \(ERR_FILE_NOT_FOUND\)\n$/);
  });
});
