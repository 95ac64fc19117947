// Prints the hash of the headers that the addon and the CUDA plugin share, for binding.gyp; the list
// and the hash method come from CMakeLists.txt. Usage: node tools/native-headers.mjs
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const list = /^set\(SHARED_HEADERS\b([^)]*)\)/m.exec(
  readFileSync(join(root, 'CMakeLists.txt'), 'utf8'),
);
if (!list) throw new Error('CMakeLists.txt has no list named SHARED_HEADERS');
const sha256 = (data) => createHash('sha256').update(data).digest('hex');
const headers = list[1].split(/\s+/).filter(Boolean);
console.log(
  sha256(headers.map((path) => sha256(readFileSync(join(root, path)))).join('')).slice(0, 16),
);
