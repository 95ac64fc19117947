// The prediction server of server.ts as a fastify 5 plugin.
//
//   npm install --no-save fastify
//   node -r tsx/cjs examples/fastify.ts MODEL [PORT]
//   curl -H 'content-type: image/jpeg' --data-binary @face.jpg http://127.0.0.1:8080/predict
//
// In your project import from 'countenance'.
import type { Readable } from 'node:stream';
import { fastify, type FastifyInstance } from 'fastify';
import { Predictor } from '../lib/index.js';
import { acceptedFormats, limited, refusal } from './server.js';

/** Routes that answer with predictions: `app.register((app) => predictionRoutes(app, predictor))`. */
export async function predictionRoutes(app: FastifyInstance, predictor: Predictor): Promise<void> {
  // Every body is an image, and remains a stream.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  app.setErrorHandler((error, _request, reply) => {
    const { status, body } = refusal(error);
    // The rest of a rejected body is not read: the connection cannot be used again.
    if (status === 413) reply.header('connection', 'close');
    reply.status(status).send(body);
  });
  app.get('/health', async () => ({ status: 'ok', classes: predictor.classes }));
  app.post('/predict', async (request, reply) => {
    const gone = new AbortController();
    reply.raw.on('close', () => gone.abort());
    return predictor.predict(limited(request.body as Readable), { signal: gone.signal });
  });
}

async function main([directory, port = '8080']: readonly string[]): Promise<void> {
  if (directory === undefined) throw new Error('usage: fastify.ts MODEL [PORT]');
  const predictor = await Predictor.load(directory, { formats: acceptedFormats });
  const app = fastify();
  app.addHook('onClose', () => predictor.close());
  await app.register((routes) => predictionRoutes(routes, predictor));
  await app.listen({ port: Number(port), host: '127.0.0.1' });
  console.log('listening on', app.server.address());
  // Requests in progress are answered first.
  process.once('SIGTERM', () => void app.close());
}

if (require.main === module) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
