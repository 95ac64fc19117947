import { encoderNamed } from '../core-options.js';
import { figureNames, figures, type Metrics } from '../metrics.js';
import type { TextEmbeddings } from '../text/embeddings.js';
import { version } from '../version.js';
import type { ModelConfig } from './config.js';

/** What a model card may tell beside what the model itself knows. */
export interface CardDetails {
  /** Figures of an evaluation, and what it was made on. */
  readonly metrics?: Metrics;
  /** Name of the data set that the metrics are of. */
  readonly evaluatedOn?: string;
  /** How the model was trained: one line a fact. */
  readonly training?: readonly string[];
}

/** The model card, README.md: Hugging Face's front matter and a page for people. */
export function modelCard(
  config: ModelConfig,
  text: TextEmbeddings,
  parameters: number,
  details: CardDetails = {},
): string {
  const { backbone, inputSize, patchSize, classes, neutral, logitScale } = config;
  const encoder = encoderNamed(backbone);
  const traits = [
    ...(encoder.patchSizes.length > 0 ? [`patch ${patchSize}`] : []),
    ...(encoder.hasDropPath ? [`drop path ${config.dropPath}`] : []),
  ];
  const network = encoder.label + (traits.length > 0 ? ` (${traits.join(', ')})` : '');
  const lines = [
    ...frontMatter(details),
    '',
    `# Facial expression recognition, ${network} at ${inputSize}`,
    '',
    'A face image goes in, one of these classes comes out: ' +
      `${classes.join(', ')}. The classifier is the cosine similarity with frozen text embeddings ` +
      '(knowledge-enhanced facial expression recognition with emotional-to-neutral transformation, ' +
      'arXiv 2409.08598).',
    '',
    '| | |',
    '| --- | --- |',
    `| network | ${network} and the neutral transformation, ${parameters.toLocaleString('en')} parameters |`,
    `| input | RGB, ${inputSize} x ${inputSize}, a cropped face |`,
    `| neutral class | ${neutral} |`,
    `| logit scale | ${logitScale} |`,
    `| text embeddings | ${cell(text.source)} |`,
    '',
    '```ts',
    "import { Predictor } from 'countenance';",
    '',
    "const predictor = await Predictor.load('path/to/this/directory');",
    "const { label, score, intensity } = await predictor.predict('face.jpg');",
    '```',
    '',
    ...training(details),
    ...evaluation(details),
    '## Limits',
    '',
    'The model names the expression an image shows, not what a person feels. It is only as fair as the ' +
      'data it was trained on: check it on faces like those it will meet. Do not use it to decide about ' +
      'people.',
    '',
    `Made with countenance ${version}.`,
    '',
  ];
  return lines.join('\n');
}

function frontMatter({ metrics, evaluatedOn = 'unnamed' }: CardDetails): string[] {
  const lines = [
    '---',
    'library_name: countenance',
    'pipeline_tag: image-classification',
    'tags:',
    '  - facial-expression-recognition',
    '  - arxiv:2409.08598',
  ];
  if (metrics) {
    lines.push(
      'model-index:',
      '  - name: countenance',
      '    results:',
      '      - task:',
      '          type: image-classification',
      '        dataset:',
      `          name: ${JSON.stringify(evaluatedOn)}`,
      `          type: ${JSON.stringify(evaluatedOn.replace(/:.*$/s, ''))}`,
      '        metrics:',
      ...figureNames.flatMap((name) => [
        `          - type: ${figures[name].hubType}`,
        `            value: ${figure(metrics[name])}`,
      ]),
    );
  }
  return [...lines, '---'];
}

function training({ training: facts = [] }: CardDetails): string[] {
  if (facts.length === 0) return [];
  return ['## Training', '', ...facts.map((fact) => `- ${fact}`), ''];
}

function evaluation({ metrics, evaluatedOn = 'an unnamed data set' }: CardDetails): string[] {
  if (!metrics) return [];
  const { classes, confusion, perClass } = metrics;
  return [
    '## Evaluation',
    '',
    `On ${metrics.count.toLocaleString('en')} images of \`${evaluatedOn}\`: ` +
      `${figureNames.map((name) => `${figures[name].label} **${figure(metrics[name])}**`).join(', ')}.`,
    '',
    '| class | images | recall | precision | F1 |',
    '| --- | ---: | ---: | ---: | ---: |',
    ...classes.map((name) => {
      const { support, recall, precision, f1 } = perClass[name]!;
      return `| ${cell(name)} | ${support} | ${figure(recall)} | ${figure(precision)} | ${figure(f1)} |`;
    }),
    '',
    'Confusion matrix, a row a true class:',
    '',
    `| | ${classes.map(cell).join(' | ')} |`,
    `| --- |${' ---: |'.repeat(classes.length)}`,
    ...classes.map((name, row) => `| ${cell(name)} | ${confusion[row]!.join(' | ')} |`),
    '',
  ];
}

function figure(value: number): string {
  return value.toFixed(4);
}

/** Text inside a table of Markdown. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
