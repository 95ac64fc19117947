// `npm run demo`: the demonstration of the command line, run from the sources.
import { main } from '../lib/cli/demo.js';

main();
