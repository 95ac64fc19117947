import { InvalidArgumentError, Option, type Command } from 'commander';
import { embedText } from '../text/embed.js';
import { encoderDtypes, type EncoderDtype } from '../text/encoder-files.js';
import { saveTextEmbeddings } from '../text/file.js';
import { defaultTemplate } from '../text/prompts.js';
import { addJsonOption, examples, exitStatus, nameList, realNumber } from './options.js';
import { Output, type Context } from './output.js';
import { checkWritableFile } from './writable.js';

interface EmbedTextArguments {
  readonly encoder: string;
  readonly classes: Readonly<Record<string, string>>;
  readonly template?: readonly string[];
  readonly dtype: EncoderDtype;
  readonly revision?: string;
  readonly cache?: string;
  readonly logitScale?: number;
  readonly out: string;
  readonly json?: boolean;
}

/** `countenance embed-text`. */
export function addEmbedTextCommand(program: Command, { streams, finish }: Context): void {
  const command = program
    .command('embed-text')
    .summary('compute text embeddings of classes with a CLIP model')
    .description(
      'Turns class names into the text embeddings that training and predict --text use, with the text ' +
        'side of a CLIP model.\nNeeds the optional package @huggingface/transformers.',
    )
    .requiredOption(
      '--encoder <model>',
      'directory of a CLIP model in ONNX form, or owner/name on the hub',
    )
    .requiredOption(
      '--classes <names>',
      'class names, separated by commas; happiness=Freude uses other words in the prompt',
      classList,
    )
    .option(
      '--template <text>',
      `a prompt with {class}, and {a} for "a" or "an"; several give the mean of their normalised ` +
        `embeddings (default: "${defaultTemplate}")`,
      template,
    )
    .addOption(
      new Option('--dtype <name>', 'precision of the text model')
        .choices(Object.keys(encoderDtypes))
        .default('fp32'),
    )
    .option('--revision <name>', 'branch, tag or commit on the hub')
    .option('--cache <dir>', 'where to keep files of the hub')
    .option(
      '--logit-scale <x>',
      "the model's exp(logit_scale), where its files do not tell it",
      realNumber('a number above 0', (value) => value > 0),
    )
    .requiredOption('--out <file.safetensors>', 'file to write');
  addJsonOption(command).addHelpText(
    'after',
    examples(
      'countenance embed-text --encoder Xenova/clip-vit-base-patch16 \\\n' +
        '      --classes surprise,fear,disgust,happiness,sadness,anger,neutral --out clip.safetensors',
      'countenance embed-text --encoder ./clip --classes happiness=Freude,neutral=Ruhe \\\n' +
        '      --template "ein Gesicht, das {class} zeigt" --out german.safetensors',
    ),
  );
  command.action(async (options: EmbedTextArguments) => {
    await runEmbedText(options, new Output(streams, options.json ?? false));
    finish(exitStatus.done);
  });
}

async function runEmbedText(options: EmbedTextArguments, output: Output): Promise<void> {
  const {
    encoder,
    classes,
    template: templates,
    dtype,
    revision,
    cache,
    logitScale,
    out,
  } = options;
  await checkWritableFile(out);
  const embeddings = await embedText(encoder, classes, {
    dtype,
    ...(templates && { templates }),
    ...(revision !== undefined && { revision }),
    ...(cache !== undefined && { cacheDirectory: cache }),
    ...(logitScale !== undefined && { logitScale }),
  });
  await saveTextEmbeddings(out, embeddings);
  const { shape, prompts = [], logitScale: scale } = embeddings;
  if (scale === undefined) {
    output.note(
      `countenance: '${encoder}' has no weights that tell its logit scale: models made with this file ` +
        "use CLIP's 100; --logit-scale gives another",
    );
  }
  output.record({
    file: out,
    encoder,
    classes: embeddings.classes,
    prompts,
    dimension: shape[1],
    ...(scale !== undefined && { logitScale: scale }),
  });
  const width = Math.max(...embeddings.classes.map((name) => name.length));
  embeddings.classes.forEach((name, i) => {
    const prompt = prompts[i] ?? '';
    const list = typeof prompt === 'string' ? [prompt] : prompt;
    list.forEach((text, j) => output.text(`${(j === 0 ? name : '').padEnd(width)}  ${text}`));
  });
  output.text(`${out}: ${shape[0]} classes of ${shape[1]} values`);
}

/** Parses `a,b=words,c` into names and the words that stand for them. */
function classList(text: string): Record<string, string> {
  const pairs = nameList(text).map((item): [string, string] => {
    const at = item.indexOf('=');
    const [name, words] = at < 0 ? [item, item] : [item.slice(0, at), item.slice(at + 1)];
    if (!name.trim() || !words.trim()) {
      throw new InvalidArgumentError('Expected name or name=words between commas.');
    }
    return [name.trim(), words.trim()];
  });
  const names = pairs.map(([name]) => name);
  if (pairs.length < 2 || new Set(names).size < names.length) {
    throw new InvalidArgumentError('Expected two or more distinct names.');
  }
  return Object.fromEntries(pairs);
}

/** Collects `--template`s. */
function template(text: string, earlier: readonly string[] = []): string[] {
  if (!text.includes('{class}')) {
    throw new InvalidArgumentError('Expected a text with {class} in it.');
  }
  return [...earlier, text];
}
