// The prediction server of server.ts as an express 5 application.
//
//   npm install --no-save express
//   node -r tsx/cjs examples/express.ts MODEL [PORT]
//   curl --data-binary @face.jpg http://127.0.0.1:8080/predict
//
// In your project import from 'countenance'.
import express, { type Express } from 'express';
import { Predictor } from '../lib/index.js';
import { acceptedFormats, limited, refusal } from './server.js';

/** An application that answers with the results of `predictor`; mount it where you like. */
export function predictionApp(predictor: Predictor): Express {
  const app = express();
  app.disable('x-powered-by');
  app.get('/health', (_request, response) => {
    response.json({ status: 'ok', classes: predictor.classes });
  });
  // No body parser before it: the request itself is the image stream.
  app.post('/predict', async (request, response) => {
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    try {
      response.json(await predictor.predict(limited(request), { signal: gone.signal }));
    } catch (error) {
      const { status, body } = refusal(error);
      // The rest of a rejected body is not read: the connection cannot be used again.
      if (status === 413) response.set('connection', 'close');
      response.status(status).json(body);
    }
  });
  return app;
}

async function main([directory, port = '8080']: readonly string[]): Promise<void> {
  if (directory === undefined) throw new Error('usage: express.ts MODEL [PORT]');
  const predictor = await Predictor.load(directory, { formats: acceptedFormats });
  const server = predictionApp(predictor).listen(Number(port), '127.0.0.1', () => {
    console.log('listening on', server.address());
  });
  // Requests in progress are answered first.
  process.once('SIGTERM', () => server.close(() => predictor.close()));
}

if (require.main === module) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
