// Predicts the expression in each frame of a video that ffmpeg decodes. The frames should show one cropped
// face; ffmpeg's crop filter cuts it out if the camera is still.
//
//   ffmpeg -i talk.mp4 -vf crop=300:300:500:120,scale=112:112,fps=5 -f rawvideo -pix_fmt rgb24 - |
//     node -r tsx/cjs examples/video.ts MODEL 112 112 5
//
// In your project import from 'countenance'.
import { Predictor, type PixelData } from '../lib/index.js';

/**
 * Splits a stream of raw RGB bytes into frames, wherever its chunks begin and end.
 *
 * @throws Error if it ends within a frame
 */
export async function* frames(
  bytes: AsyncIterable<Uint8Array>,
  width: number,
  height: number,
): AsyncGenerator<PixelData> {
  const size = width * height * 3;
  let frame = new Uint8Array(size);
  let filled = 0;
  for await (const piece of bytes) {
    for (let at = 0; at < piece.length;) {
      const part = piece.subarray(at, at + size - filled);
      frame.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < size) continue;
      yield { data: frame, width, height, channels: 3 };
      // The frame that was yielded is decoded while the next one is read.
      frame = new Uint8Array(size);
      filled = 0;
    }
  }
  if (filled > 0) throw new Error(`the video ended with ${filled} of the ${size} bytes of a frame`);
}

async function main(argv: readonly string[]): Promise<void> {
  const [directory, ...numbers] = argv;
  const [width, height, perSecond = 25] = numbers.map(Number);
  if (directory === undefined || !(width! >= 1) || !(height! >= 1)) {
    throw new Error('usage: video.ts MODEL WIDTH HEIGHT [FRAMES_PER_SECOND] < rgb24');
  }
  await using predictor = await Predictor.load(directory);
  // Single frames flicker; an exponential average over about half a second is steady.
  const keep = Math.exp(-2 / perSecond);
  const average = new Map(predictor.classes.map((name) => [name, 0]));
  let shown = '';
  // The pipe is read as fast as the model works: ffmpeg waits, no frame is dropped or piled up.
  for await (const { index, scores } of predictor.predictStream(
    frames(process.stdin, width!, height!),
  )) {
    for (const [name, score] of Object.entries(scores)) {
      average.set(name, index === 0 ? score : keep * average.get(name)! + (1 - keep) * score);
    }
    const [label] = [...average].reduce((best, entry) => (entry[1] > best[1] ? entry : best));
    if (label === shown) continue;
    shown = label;
    console.log(`${(index / perSecond).toFixed(2)} s  ${label}`);
  }
}

if (require.main === module) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
