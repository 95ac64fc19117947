import { Command, CommanderError } from 'commander';
import { version } from '../version.js';
import { addBuildCommand } from './build.js';
import { addDataCommand } from './data.js';
import { addEmbedTextCommand } from './embed-text.js';
import { addEvaluateCommand } from './evaluate.js';
import { addExportCommand } from './export.js';
import { addInfoCommand } from './info.js';
import { examples, exitStatus } from './options.js';
import { errorLine, type Context, type Streams } from './output.js';
import { addPredictCommand } from './predict.js';
import { addTrainCommand } from './train.js';

/**
 * Runs the command line.
 *
 * @param argv the arguments after `countenance`
 * @param streams where to write; default: the process's own streams
 * @returns the exit status: 0 success, 1 failure, 2 wrong usage, 130 interrupted, 141 if the reader of
 *   the results left before the work was done
 */
export async function run(
  argv: readonly string[],
  streams: Streams = { stdout: process.stdout, stderr: process.stderr },
): Promise<number> {
  let status: number = exitStatus.done;
  const program = createProgram({ streams, finish: (value) => (status = value) });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? exitStatus.done : exitStatus.usage;
    }
    streams.stderr.write(`${errorLine(error)}\n`);
    return exitStatus.failed;
  }
}

function createProgram(context: Context): Command {
  const { stdout, stderr } = context.streams;
  const program = new Command('countenance')
    .description(
      'Knowledge-enhanced facial expression recognition: trains and runs models at native speed.',
    )
    .version(version)
    .exitOverride()
    .showHelpAfterError(false)
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      outputError: (text, write) => {
        const message = text
          .trim()
          .replace(/^error: /, '')
          .replace(/\s*\n\s*/g, ' ');
        write(`countenance: ${message} (see countenance --help)\n`);
      },
    })
    .addHelpText(
      'after',
      examples(
        'countenance train --data folder:faces#train --text clip.safetensors --out my-model',
        'countenance evaluate --model my-model --data folder:faces#test',
        'countenance predict --model my-model face.jpg',
      ),
    );
  addTrainCommand(program, context);
  addEvaluateCommand(program, context);
  addPredictCommand(program, context);
  addDataCommand(program, context);
  addEmbedTextCommand(program, context);
  addExportCommand(program, context);
  addInfoCommand(program, context);
  addBuildCommand(program, context);
  return program;
}
