// Predicts files in worker threads, each with its own model and its share of the cores.
//
//   node -r tsx/cjs examples/worker-pool.ts MODEL WORKERS FILE...
//
// One predictor uses every core by itself and never blocks the event loop: a pool is for your own
// work with each prediction (parsing, drawing, a database) that would keep one JavaScript thread busy.
// In your project import from 'countenance'.
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { CountenanceError, Predictor, type Prediction } from '../lib/index.js';

/** The data a worker starts with. */
interface WorkerTask {
  readonly directory: string;
  readonly threads: number;
}

/** The outcome of a file. */
type Result = { readonly file: string } & (
  { readonly prediction: Prediction } | { readonly error: string }
);

/**
 * Predicts files with a pool of workers.
 *
 * @returns the outcome of each file, in order
 */
export async function predictInWorkers(
  directory: string,
  workers: number,
  files: readonly string[],
): Promise<Result[]> {
  const threads = Math.max(1, Math.floor(availableParallelism() / workers));
  const task: WorkerTask = { directory, threads };
  const results: Result[] = [];
  let next = 0;
  const runOne = async (): Promise<void> => {
    const worker = new Worker(__filename, { workerData: task });
    try {
      // Whichever worker is free takes the next file. An error event of the worker rejects `once`.
      await once(worker, 'message');
      while (next < files.length) {
        const index = next++;
        worker.postMessage(files[index]);
        const [result] = (await once(worker, 'message')) as [Result];
        results[index] = result;
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: workers }, runOne));
  return results;
}

/** The worker's side: says that it is ready, then answers each file with its result. */
async function serve({ directory, threads }: WorkerTask): Promise<void> {
  const port = parentPort!;
  const predictor = await Predictor.load(directory, { threads });
  port.on('message', (file: string) => {
    predictor.predict(file).then(
      (prediction) => port.postMessage({ file, prediction }),
      (error: unknown) => {
        const known = error instanceof CountenanceError;
        port.postMessage({ file, error: known ? error.message : String(error) });
      },
    );
  });
  port.postMessage('ready');
}

async function main([directory, workers, ...files]: readonly string[]): Promise<void> {
  if (directory === undefined || !(Number(workers) >= 1) || files.length === 0) {
    throw new Error('usage: worker-pool.ts MODEL WORKERS FILE...');
  }
  for (const result of await predictInWorkers(directory, Number(workers), files)) {
    const said =
      'error' in result
        ? result.error
        : `${result.prediction.label} ${result.prediction.score.toFixed(2)}`;
    console.log(`${result.file}: ${said}`);
  }
}

if (!isMainThread) {
  // An error here ends the worker and reaches the main thread as its 'error' event.
  void serve(workerData as WorkerTask);
} else if (require.main === module) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
