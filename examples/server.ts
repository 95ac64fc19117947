// A prediction server without a framework: POST an image, get JSON.
//
//   node -r tsx/cjs examples/server.ts MODEL [PORT]
//   curl --data-binary @face.jpg http://127.0.0.1:8080/predict
//
// In your project import from 'countenance'. express.ts, fastify.ts and next-route.ts are the same with a framework.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { CountenanceError, Predictor, type ErrorCode, type ImageFormat } from '../lib/index.js';

/** Largest accepted image, in bytes. */
const maxBytes = 10 * 1024 * 1024;

/** What cameras and browsers send. Each format more is a decoder more that strangers can feed. */
export const acceptedFormats: readonly ImageFormat[] = ['jpeg', 'png', 'webp'];

class TooLarge extends Error {}

/** An HTTP status and the message that goes with it. */
export interface Refusal {
  readonly status: number;
  readonly body: { readonly error: string; readonly code: ErrorCode };
}

/** Errors caused by the client, with their HTTP status; every other error is ours. */
const statuses: Partial<Record<ErrorCode, number>> = {
  ERR_IMAGE_DECODE: 415,
  ERR_IMAGE_SIZE: 422,
  ERR_IMAGE_CHANNELS: 422,
};

/** A server that answers with the results of `predictor`. One predictor serves any number of requests. */
export function createPredictionServer(predictor: Predictor): Server {
  return createServer((request, response) => {
    void answer(predictor, request, response);
  });
}

async function answer(
  predictor: Predictor,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = new URL(request.url ?? '/', 'http://localhost').pathname;
  if (request.method === 'GET' && path === '/health') {
    reply(response, 200, { status: 'ok', classes: predictor.classes });
    return;
  }
  if (request.method !== 'POST' || path !== '/predict') {
    reply(response, 404, { error: 'POST an image to /predict, or GET /health' });
    return;
  }
  // A client that disconnects stops the work on its image.
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  try {
    const prediction = await predictor.predict(limited(request), { signal: gone.signal });
    reply(response, 200, prediction);
  } catch (error) {
    const { status, body } = refusal(error);
    reply(response, status, body);
  }
}

/** The answer to a failed prediction; our own errors are logged and not shown to the client. */
export function refusal(error: unknown): Refusal {
  const code = error instanceof CountenanceError ? error.code : 'ERR_INTERNAL';
  const tooLarge = error instanceof Error && error.cause instanceof TooLarge;
  const status = tooLarge ? 413 : (statuses[code] ?? 500);
  if (status === 500 && code !== 'ERR_ABORTED') console.error(error);
  const message = error instanceof Error && status < 500 ? error.message : 'Prediction failed';
  return { status, body: { error: message, code } };
}

/** The body of a request, up to the limit. */
export async function* limited(request: AsyncIterable<unknown>): AsyncGenerator<Uint8Array> {
  let length = 0;
  for await (const piece of request as AsyncIterable<Uint8Array>) {
    length += piece.length;
    if (length > maxBytes) throw new TooLarge(`more than ${maxBytes} bytes`);
    yield piece;
  }
}

function reply(response: ServerResponse, status: number, body: object): void {
  if (response.destroyed) return;
  // The rest of a rejected body is not read: the connection cannot be used again.
  const headers = status === 413 ? { connection: 'close' } : {};
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}

async function main([directory, port = '8080']: readonly string[]): Promise<void> {
  if (directory === undefined) throw new Error('usage: server.ts MODEL [PORT]');
  const predictor = await Predictor.load(directory, { formats: acceptedFormats });
  const server = createPredictionServer(predictor);
  server.listen(Number(port), '127.0.0.1', () => {
    console.log('listening on', server.address());
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      // Requests in progress are answered first.
      server.close(() => predictor.close());
      server.closeIdleConnections();
    });
  }
}

if (require.main === module) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
