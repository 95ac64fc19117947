import { invalidArgument } from '../check.js';

/**
 * The prompt of the paper. `{class}` stands for the words of a class, `{a}` for "a" or, before a vowel,
 * "an".
 */
export const defaultTemplate = 'a photo of a person making {a} {class} facial expression.';

/**
 * Fills the words of a class into a prompt template.
 *
 * @throws CountenanceError ERR_INVALID_ARGUMENT if the template has no `{class}`
 * @example
 * renderPrompt('ein Foto eines Gesichts: {class}', 'Freude'); // 'ein Foto eines Gesichts: Freude'
 */
export function renderPrompt(template: string, words: string): string {
  if (typeof template !== 'string' || !template.includes('{class}')) {
    throw invalidArgument('a text with {class} in it', 'a template', template);
  }
  const article = /^[aeiou]/i.test(words) ? 'an' : 'a';
  return template.replaceAll('{a}', article).replaceAll('{class}', () => words);
}

/**
 * The prompt of the paper for a class, with "an" before a vowel.
 *
 * @example
 * promptFor('anger'); // 'a photo of a person making an anger facial expression.'
 */
export function promptFor(className: string): string {
  return renderPrompt(defaultTemplate, className);
}
