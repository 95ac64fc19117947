// `npm run demo`: the demonstration of the command line, run from the sources.
import { main } from '../lib/cli/demo.js';

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
