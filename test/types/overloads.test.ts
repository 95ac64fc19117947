import assert from 'node:assert/strict';
import { join } from 'node:path';
import ts from 'typescript';

const file = join(__dirname, 'overloads.ts');
const project = ts.getParsedCommandLineOfConfigFile(
  join(__dirname, '../../tsconfig.json'),
  {},
  { ...ts.sys, onUnRecoverableConfigFileDiagnostic: () => undefined },
)!;

/** The program of overloads.ts, with its text modified by `change`. */
function compile(change: (text: string) => string): ts.Program {
  const host = ts.createCompilerHost(project.options);
  const readFile = host.readFile.bind(host);
  host.readFile = (name) => (name === file ? change(readFile(name)!) : readFile(name));
  return ts.createProgram([file], project.options, host);
}

function problemsOf(program: ts.Program): string[] {
  const diagnostics = ts.getPreEmitDiagnostics(program, program.getSourceFile(file));
  return diagnostics.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

describe('types of the overloads', function () {
  this.timeout(120_000);

  it('are as test/types/overloads.ts expects them', () => {
    assert.deepEqual(problemsOf(compile((text) => text)), []);
  });

  it('and another expectation fails', () => {
    const wrong = compile((text) => text.replaceAll('Promise<Prediction[]>', 'Promise<string>'));
    assert.ok(problemsOf(wrong).length > 0);
  });
});
