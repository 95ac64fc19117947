import { describeMapping } from '../data/shared-classes.js';
import { figureNames, figures, type Metrics } from '../metrics.js';
import type { Evaluation } from '../model/evaluate.js';
import type { ModelConfig } from '../model/config.js';
import { escapeHtml } from '../train/logs/escape.js';
import { version } from '../version.js';
import { figure } from './table.js';

/** The content of a report. */
export interface ReportContent {
  readonly metrics: Evaluation;
  /** Directory of the model. */
  readonly model: string;
  readonly config: ModelConfig;
  /** Name of the data set. */
  readonly data: string;
}

const style = `
:root { color-scheme: light dark; --ink: light-dark(#1c2430, #e6e9ee); --paper: light-dark(#fff, #14181f);
  --quiet: light-dark(#5c6675, #9aa4b2); --line: light-dark(#dfe3e8, #313a47);
  --mark: light-dark(#2f6fb3, #6fa8e0); }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2.5rem; }
p.quiet, ul.quiet, caption { color: var(--quiet); text-align: left; }
dl { display: flex; flex-wrap: wrap; gap: 2.5rem; margin: 1.5rem 0; }
dt { color: var(--quiet); } dd { margin: 0; font-size: 1.8rem; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; } tbody th, thead th:first-child { text-align: left; }
.bar { min-width: 10rem; } .bar span { display: block; height: .7rem; background: var(--mark); }
.matrix td { min-width: 3rem; text-align: center; border: 1px solid var(--paper);
  background: color-mix(in srgb, var(--mark) calc(var(--share) * 70%), var(--paper)); }
`;

/** A self-contained page: figures, figures per class, confusion matrix. */
export function reportHtml({ metrics, model, config, data }: ReportContent): string {
  const shown: readonly (readonly [string, string])[] = [
    ...figureNames.map((name) => [figures[name].label, figure(metrics[name])] as const),
    ['images', metrics.count.toLocaleString('en')],
  ];
  const title = `Evaluation of ${model}`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
<p class="quiet">${escapeHtml(`${config.backbone} at ${config.inputSize}, on ${data}`)}</p>
<dl>${shown.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('')}</dl>
${mappingHtml(metrics)}<h2>Classes</h2>
<div class="wide">${classesHtml(metrics)}</div>
<h2>Confusion matrix</h2>
<div class="wide">${matrixHtml(metrics)}</div>
<p class="quiet">A row is a true class, a column a prediction; colour is the share of the row.
Made with countenance ${version}.</p>
</body>
</html>
`;
}

function mappingHtml({ mapping }: Evaluation): string {
  if (!mapping) return '';
  const lines = describeMapping(mapping).map((line) => `<li>${escapeHtml(line)}</li>`);
  return `<ul class="quiet">${lines.join('')}</ul>\n`;
}

function classesHtml({ classes, perClass }: Metrics): string {
  const rows = classes.map((name) => {
    const { support, recall, precision, f1 } = perClass[name]!;
    const bar = `<td class="bar"><span style="width:${(recall * 100).toFixed(1)}%"></span></td>`;
    const cells = [String(support), figure(recall), figure(precision), figure(f1)];
    const data = cells.map((cell) => `<td>${cell}</td>`).join('');
    return `<tr><th scope="row">${escapeHtml(name)}</th>${data}${bar}</tr>`;
  });
  const header = ['class', 'images', 'recall', 'precision', 'F1', '']
    .map((name) => `<th scope="col">${name}</th>`)
    .join('');
  return `<table><thead><tr>${header}</tr></thead><tbody>\n${rows.join('\n')}\n</tbody></table>`;
}

function matrixHtml({ classes, confusion }: Metrics): string {
  const header = classes.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('');
  const rows = classes.map((name, row) => {
    const counts = confusion[row]!;
    const total = Math.max(
      counts.reduce((sum, count) => sum + count, 0),
      1,
    );
    const cells = counts
      .map((count) => `<td style="--share:${(count / total).toFixed(3)}">${count}</td>`)
      .join('');
    return `<tr><th scope="row">${escapeHtml(name)}</th>${cells}</tr>`;
  });
  return (
    `<table class="matrix"><thead><tr><th></th>${header}</tr></thead>` +
    `<tbody>\n${rows.join('\n')}\n</tbody></table>`
  );
}
