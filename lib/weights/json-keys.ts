/**
 * Finds a key that occurs twice in the same object of a JSON text, which `JSON.parse` hides by keeping the
 * last one. The text must already be known to be valid JSON.
 *
 * @returns the first repeated key, or undefined
 */
export function findDuplicateKey(json: string): string | undefined {
  const colon = /\s*:/y;
  const objects: (Set<string> | null)[] = []; // null stands for an array
  let position = 0;
  while (position < json.length) {
    const character = json[position];
    if (character === '{') objects.push(new Set());
    else if (character === '[') objects.push(null);
    else if (character === '}' || character === ']') objects.pop();
    else if (character === '"') {
      const start = position;
      position = endOfString(json, position);
      const keys = objects[objects.length - 1];
      colon.lastIndex = position + 1;
      if (keys && colon.test(json)) {
        const key = JSON.parse(json.slice(start, position + 1)) as string;
        if (keys.has(key)) return key;
        keys.add(key);
      }
    }
    position += 1;
  }
  return undefined;
}

/** Index of the quote that closes the string opened at `start`. */
function endOfString(json: string, start: number): number {
  let position = start + 1;
  while (json[position] !== '"') position += json[position] === '\\' ? 2 : 1;
  return position;
}
