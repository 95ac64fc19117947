import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { packageFile } from './binding.cjs';
import { CountenanceError, messageOf, systemCode } from './errors.js';

/** The optional packages: never installed with this one, loaded when something needs them. */
export type PeerName = '@huggingface/transformers' | '@vladmandic/human';

/**
 * Loads an optional package. It is searched for in the folder that `COUNTENANCE_PEERS` names (one with a
 * `node_modules`), then from this package, as Node does, then from the working directory.
 *
 * @param purpose what needs it, for the message: "Embedding text"
 * @throws CountenanceError ERR_PEER_MISSING that says how to install it, ERR_PEER_LOAD
 */
export function loadPeer(name: PeerName, purpose: string): unknown {
  return requireFile(findPeer(name, purpose), name, purpose);
}

/**
 * The main file of an optional package, searched for as by {@link loadPeer}.
 *
 * @throws CountenanceError ERR_PEER_MISSING, ERR_PEER_LOAD
 */
export function findPeer(name: PeerName, purpose: string): string {
  const override = process.env['COUNTENANCE_PEERS'];
  const origins = [
    ...(override ? [join(resolve(override), 'package.json')] : []),
    packageFile,
    join(process.cwd(), 'package.json'),
  ];
  // `require` from a made-up file in each folder, since `import()` does not accept a starting folder.
  for (const origin of origins) {
    try {
      return createRequire(origin).resolve(name);
    } catch (error) {
      if (systemCode(error) !== 'MODULE_NOT_FOUND') throw loadError(name, purpose, error);
    }
  }
  throw missingPeer(name, purpose);
}

/** Loads a file of an optional package; Node 20.19 and later can `require` ES modules too. */
export function requireFile(file: string, name: PeerName, purpose: string): unknown {
  try {
    return createRequire(file)(file) as unknown;
  } catch (error) {
    throw loadError(name, purpose, error);
  }
}

/** ERR_PEER_MISSING. @param packages all packages to install, separated by spaces */
export function missingPeer(
  name: string,
  purpose: string,
  packages = name,
  cause?: unknown,
): CountenanceError {
  return new CountenanceError(
    'ERR_PEER_MISSING',
    `${purpose} needs the optional package ${name}, which is not installed: npm install ${packages} ` +
      '(or set COUNTENANCE_PEERS to a folder whose node_modules has it)',
    { cause },
  );
}

function loadError(name: string, purpose: string, error: unknown): CountenanceError {
  return new CountenanceError(
    'ERR_PEER_LOAD',
    `${purpose} needs the optional package ${name}, which is installed but does not load: ` +
      messageOf(error),
    { cause: error },
  );
}
