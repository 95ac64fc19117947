#!/usr/bin/env node
import { runAsProcess } from './process.js';
import { run } from './program.js';

runAsProcess((streams) => run(process.argv.slice(2), streams));
