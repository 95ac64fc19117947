import { isIndex } from '../../check.js';
import { CountenanceError } from '../../errors.js';
import { affectnetClasses } from '../classes.js';

/** Codes 8, 9, 10 stand for none of the expressions, uncertain, and no face. */
const lastCode = 10;
const contempt = affectnetClasses.indexOf('contempt');

/**
 * Converts AffectNet's expression codes 0..10 to labels; counts the images that have none of the classes.
 */
export class AffectnetCodes {
  readonly classes: readonly string[];
  private contemptCount = 0;
  private withoutCount = 0;

  constructor(classCount: 7 | 8) {
    this.classes = affectnetClasses.slice(0, classCount);
  }

  /**
   * The label of a code, or undefined if the image is left out.
   *
   * @param where the location to name in the error of a wrong code
   * @throws CountenanceError ERR_LABEL_RANGE
   */
  label(code: number, where: string): number | undefined {
    if (!isIndex(code, lastCode + 1)) {
      throw new CountenanceError(
        'ERR_LABEL_RANGE',
        `${where}: expression ${code} is not in 0..${lastCode}`,
      );
    }
    if (code < this.classes.length) return code;
    if (code === contempt) this.contemptCount += 1;
    else this.withoutCount += 1;
    return undefined;
  }

  /** What was left out, for the log. */
  get notes(): string[] {
    const leftOut = (count: number, what: string): string[] =>
      count === 0 ? [] : [`${count} images ${what} were left out`];
    return [
      ...leftOut(this.contemptCount, 'of contempt'),
      ...leftOut(this.withoutCount, 'without an expression (none, uncertain, no face)'),
    ];
  }
}
