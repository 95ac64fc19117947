import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Model, version } from '../../lib/index.js';
import { readSafetensors, writeSafetensors } from '../../lib/weights/index.js';
import { digest, makeModel, noise, textEmbeddings } from '../api-support.js';
import { rejectsWith, temporaryDirectory } from '../data/data-support.js';

describe('1 Model files', function () {
  this.timeout(60_000);
  const directory = temporaryDirectory();
  /** Made once: making one draws 11 million random numbers. */
  let model: Model;
  before(async () => {
    model = await makeModel();
  });
  after(() => {
    model.close();
  });

  describe('save and load', () => {
    it('writes the usual files and reads them back', async () => {
      const path = directory.path('saved');
      await using model = await makeModel({ seed: 5, logitScale: 42 });
      await model.save(path);
      assert.deepEqual((await readdir(path)).sort(), [
        'README.md',
        'config.json',
        'model.safetensors',
        'preprocessor_config.json',
        'text_embeddings.safetensors',
      ]);
      await using loaded = await Model.load(path, { threads: 1 });
      assert.deepEqual(loaded.config, model.config);
      assert.equal(digest(loaded.stateDict()), digest(model.stateDict()));
      assert.deepEqual(loaded.textEmbeddings, model.textEmbeddings);
      const { tensors, metadata } = await readSafetensors(join(path, 'model.safetensors'));
      assert.equal(metadata['format'], 'pt');
      assert.equal(tensors.size, model.stateDict().size);
      const card = await readFile(join(path, 'README.md'), 'utf8');
      assert.match(card, /^---\nlibrary_name: countenance\n/);
      assert.ok(card.includes('hold no knowledge'), 'the card says what the text embeddings are');
      assert.ok(card.includes(version));
    });

    it('takes Swin-T with it', async () => {
      const path = directory.path('swin');
      await using model = await Model.create({
        backbone: 'swin-t',
        textEmbeddings,
        seed: 2,
        dropPath: 0.2,
      });
      await model.save(path);
      await using loaded = await Model.load(path);
      assert.deepEqual(loaded.config, model.config);
      assert.equal(digest(loaded.stateDict()), digest(model.stateDict()));
    });

    it('saves one consistent state while the model works', async () => {
      const work = model.forward({ images: noise(8) });
      await rejectsWith(() => model.stateDict(), 'ERR_BUSY');
      await Promise.all([
        work,
        model.save(directory.path('busy')),
        model.forward({ images: noise(2) }),
      ]);
      await using loaded = await Model.load(directory.path('busy'));
      assert.equal(digest(loaded.stateDict()), digest(model.stateDict()));
    });

    it('names what is wrong with a directory', async () => {
      const path = directory.path('broken');
      await rejectsWith(Model.load(path), 'ERR_FILE_NOT_FOUND', path);
      await mkdir(path);
      await rejectsWith(Model.load(path), 'ERR_CHECKPOINT', path, 'config.json');
      await rejectsWith(
        Model.load(join(path, '..', '..', 'dev', 'null', 'x')),
        'ERR_FILE_NOT_FOUND',
      );
      const spoil = async (file: string, content: string, ...parts: string[]): Promise<void> => {
        await model.save(path);
        await writeFile(join(path, file), content);
        await rejectsWith(Model.load(path), 'ERR_CHECKPOINT', path, ...parts);
      };
      await spoil('config.json', '{', 'config.json', 'not JSON');
      await spoil('config.json', '[]', 'config.json');
      await spoil('config.json', '{"model_type":"bert"}', 'not of a countenance model');
      await spoil(
        'config.json',
        '{"model_type":"countenance","format_version":9}',
        'format_version 9',
      );
      await spoil('config.json', '{"model_type":"countenance","format_version":1}', 'backbone');
      await spoil('preprocessor_config.json', '{"image_mean":[1]}', 'imageMean');
      await model.save(path);
      await rm(join(path, 'model.safetensors'));
      await rejectsWith(Model.load(path), 'ERR_CHECKPOINT', 'model.safetensors');
      await model.save(path);
      const weights = await readFile(join(path, 'model.safetensors'));
      await writeFile(join(path, 'model.safetensors'), weights.subarray(0, 1_000_000));
      await rejectsWith(Model.load(path), 'ERR_SAFETENSORS', 'model.safetensors');
      await writeSafetensors(join(path, 'model.safetensors'), new Map());
      await rejectsWith(Model.load(path), 'ERR_SHAPE_MISMATCH', 'missing: encoder.conv1.weight');
      await rejectsWith(
        Model.load(join(path, 'config.json')),
        'ERR_NOT_A_DIRECTORY',
        'config.json',
      );
    });

    it('names an output that cannot be written', async () => {
      const file = directory.path('a-file');
      await writeFile(file, '');
      await rejectsWith(model.save(file), 'ERR_WRITE', file);
      await rejectsWith(model.save(join(file, 'inside')), 'ERR_WRITE', file);
      if (process.getuid?.() === 0) return; // root may write anywhere
      const locked = directory.path('locked');
      await mkdir(locked);
      await chmod(locked, 0o500);
      await rejectsWith(model.save(join(locked, 'model')), 'ERR_WRITE', 'permission');
    });

    it('stops loading at a signal', async () => {
      const reason = new Error('enough');
      const error = await rejectsWith(
        Model.load(directory.path('saved'), { signal: AbortSignal.abort(reason) }),
        'ERR_ABORTED',
      );
      assert.equal(error.cause, reason);
    });
  });
});
