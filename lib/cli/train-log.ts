import { lossTermNames, perTerm } from '../core-options.js';
import { perFigure, type Metrics } from '../metrics.js';
import type {
  CheckpointEvent,
  DatasetSummary,
  EndEvent,
  EpochEvent,
  StartEvent,
  StepEvent,
  TrainingEvent,
} from '../train/events.js';
import type { Output } from './output.js';
import { duration, rate } from './progress.js';
import { classTable, figure, figuresLine } from './table.js';

/** Headings and widths of the columns of the epoch table. */
const columns = [
  ['epoch', 7],
  ['loss', 8],
  ...lossTermNames.map((name) => [name, Math.max(8, name.length)] as const),
  ['accuracy', 8],
  ['validation', 10],
  ['mean class', 10],
  ['images/s', 8],
  ['time', 7],
] as const satisfies readonly (readonly [string, number])[];

/** Reports the progress of a training run to people or programs. */
export class TrainLog {
  /** The newest checkpoint. */
  checkpoint: CheckpointEvent | undefined;
  private start: StartEvent | undefined;
  private startedAt = 0;
  private bestMetrics: Metrics | undefined;

  constructor(private readonly output: Output) {}

  /** Reports one event. */
  report(event: TrainingEvent): void {
    switch (event.type) {
      case 'start':
        this.reportStart(event);
        break;
      case 'step':
        this.output.progress.update(() => this.progressText(event));
        break;
      case 'epoch':
        this.reportEpoch(event);
        break;
      case 'checkpoint':
        this.checkpoint = event;
        break;
      case 'end':
        this.reportEnd(event);
        break;
    }
  }

  private reportStart(event: StartEvent): void {
    const { output } = this;
    this.start = event;
    this.startedAt = performance.now();
    for (const data of [event.train, event.validation]) if (data) reportData(data, output);
    output.note(
      `${(event.parameters / 1e6).toFixed(1)} million parameters on ${event.device}; ` +
        `${event.epochs} epochs of ${event.stepsPerEpoch} steps with ${event.batchSize} images, ` +
        `learning rate ${event.learningRate}`,
    );
    if (event.resumed) {
      output.note(`continuing ${event.resumed.directory} after step ${event.resumed.step}`);
    }
    output.text(columns.map(([name, width]) => name.padStart(width)).join('  '));
  }

  private progressText(event: StepEvent): string {
    const done = event.step - (this.start?.resumed?.step ?? 0);
    const perStep = (performance.now() - this.startedAt) / 1000 / Math.max(done, 1);
    const left = duration(perStep * (event.totalSteps - event.step));
    return (
      `epoch ${event.epoch}/${this.start?.epochs ?? '?'}  step ${event.step}/${event.totalSteps}  ` +
      `loss ${event.loss.toFixed(3)}  accuracy ${event.accuracy.toFixed(2)}  ` +
      `${rate(event.imagesPerSecond)}  ${left} left`
    );
  }

  private reportEpoch(event: EpochEvent): void {
    const { epoch, epochs, loss, accuracy } = event;
    const { validation, best, imagesPerSecond, seconds, step, learningRate } = event;
    if (best && validation) this.bestMetrics = validation;
    this.output.record({
      event: 'epoch',
      epoch,
      epochs,
      step,
      learningRate,
      loss,
      ...perTerm((name) => event[name]),
      accuracy,
      validation: validation && perFigure((name) => validation[name]),
      best,
      imagesPerSecond,
      seconds,
    });
    const cells = [
      `${epoch}/${epochs}`,
      ...[loss, ...lossTermNames.map((name) => event[name]), accuracy].map(figure),
      validation ? figure(validation.accuracy) : '-',
      validation ? figure(validation.meanClassAccuracy) : '-',
      imagesPerSecond.toFixed(imagesPerSecond < 10 ? 1 : 0),
      duration(seconds),
    ];
    const row = cells.map((cell, i) => cell.padStart(columns[i]![1])).join('  ');
    this.output.text(validation && best ? `${row}  best` : row);
  }

  private reportEnd(event: EndEvent): void {
    const { model, epochs, stoppedAfter, steps, best, seconds } = event;
    const { device = '', parameters = 0 } = this.start ?? {};
    this.output.record({
      event: 'end',
      model,
      epochs,
      stoppedAfter,
      steps,
      best,
      seconds,
      device,
      parameters,
      checkpoint: this.checkpoint?.directory ?? null,
    });
    if (this.start?.resumed?.step === steps) {
      this.output.note('nothing was left to train: the run that was continued is complete');
    }
    if (stoppedAfter !== null) {
      this.output.text(`\nstopped early after epoch ${stoppedAfter}: validation got no better`);
    }
    if (this.bestMetrics) this.output.text(`\n${classTable(this.bestMetrics)}`);
    this.output.text(
      best
        ? `\nbest epoch ${best.epoch} of ${epochs}: validation ${figuresLine(best)} ` +
            '(the epoch was chosen by it, so this is slightly optimistic)'
        : '\nthe last epoch was kept: there was no validation set',
    );
    this.output.text(
      `model in ${model ?? '-'} after ${duration(seconds)}\n` +
        `next: countenance predict --model ${shellWord(model ?? '')} FILE...`,
    );
  }
}

function reportData(data: DatasetSummary, output: Output): void {
  const counts = Object.entries(data.classCounts).map(([name, count]) => `${name} ${count}`);
  output.note(`${data.name}: ${data.size} images (${counts.join(', ')})`);
  for (const note of data.notes) output.note(`  ${note}`);
}

/** A path quoted for a shell. */
export function shellWord(path: string): string {
  return /^[\w./@:+=,-][\w./@:+=,#-]*$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
