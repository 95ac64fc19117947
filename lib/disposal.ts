import { ChildProcess } from 'node:child_process';
import { Readable } from 'node:stream';

/*
 * Node 20 defines Symbol.dispose and Symbol.asyncDispose in its main realm only. In another one (a test of Jest
 * or of vitest's vmThreads) `using` would fail, so they are defined there as well: as the same symbols, which
 * Node's own classes have. This module is loaded before any class that is disposable.
 */

/** Node's symbol of this name, from a class that has it. */
function symbolOf(prototype: object, name: string): symbol {
  const named = (symbol: symbol): boolean => symbol.description?.endsWith(name) ?? false;
  return Object.getOwnPropertySymbols(prototype).find(named) ?? Symbol(`Symbol.${name}`);
}

function define(name: 'dispose' | 'asyncDispose', prototype: object): void {
  if (typeof (Symbol as Partial<SymbolConstructor>)[name] === 'symbol') return;
  Object.defineProperty(Symbol, name, { value: symbolOf(prototype, name) });
}

define('dispose', ChildProcess.prototype);
define('asyncDispose', Readable.prototype);
