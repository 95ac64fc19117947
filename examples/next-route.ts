// A route handler of Next.js: app/predict/route.ts. A form sends the image as its field `face`.
//
// The addon cannot be bundled and needs Node's runtime, so next.config.ts must contain
//
//   export default { serverExternalPackages: ['countenance', 'sharp'] };
//
// In your project import from 'countenance'; COUNTENANCE_MODEL names the model directory.
import { CountenanceError, Predictor } from '../lib/index.js';

export const runtime = 'nodejs';

// One predictor per process, even when the module is reloaded in development.
const store = globalThis as { predictor?: Promise<Predictor> };
const predictor = (): Promise<Predictor> =>
  (store.predictor ??= Predictor.load(process.env['COUNTENANCE_MODEL'] ?? 'my-model', {
    formats: ['jpeg', 'png', 'webp'],
  }));

export async function POST(request: Request): Promise<Response> {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- for large files only: this is how Next.js gives forms
  const face = (await request.formData()).get('face');
  if (!(face instanceof File)) {
    return Response.json({ error: 'the form has no file called face' }, { status: 400 });
  }
  try {
    return Response.json(await (await predictor()).predict(face, { signal: request.signal }));
  } catch (error) {
    if (!(error instanceof CountenanceError) || !error.code.startsWith('ERR_IMAGE_')) throw error;
    return Response.json({ error: error.message, code: error.code }, { status: 415 });
  }
}
