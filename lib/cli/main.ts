#!/usr/bin/env node
import { run } from './program.js';

// A reader that has seen enough (`| head`) closes the pipe: that is not an error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

void run(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
