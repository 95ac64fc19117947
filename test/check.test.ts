import { strict as assert } from 'node:assert';
import {
  checkBoolean,
  checkChoice,
  checkDistinct,
  checkInteger,
  checkNumber,
  checkNumbers,
  checkObject,
  checkText,
  describeValue,
  isIndex,
} from '../lib/check.js';

/** The result of a check for each of some values. */
function refuses<T>(check: (value: T) => unknown, values: readonly T[], expected: string): void {
  for (const value of values) {
    const message = `Expected ${expected} but received ${describeValue(value)}`;
    assert.throws(() => check(value), {
      name: 'CountenanceError',
      code: 'ERR_INVALID_ARGUMENT',
      message,
    });
  }
}

const noNumbers = [undefined, null, NaN, Infinity, -Infinity, '1', true, [1], 1n];

describe('checks of arguments', () => {
  it('describe what they received', () => {
    const described: [unknown, string][] = [
      [undefined, 'undefined'],
      [null, 'null'],
      ['no', "'no'"],
      ['x'.repeat(61), `'${'x'.repeat(57)}...'`],
      [0.5, '0.5 (number)'],
      [7n, '7 (bigint)'],
      [false, 'false (boolean)'],
      [[1], 'an object of type Array'],
      [new Float32Array(2), 'an object of type Float32Array'],
      [Object.create(null), 'an object of type Object'],
      [() => 1, 'a function'],
      [Symbol('s'), 'symbol'],
    ];
    for (const [value, text] of described) assert.equal(describeValue(value), text);
  });

  it('take integers in a range', () => {
    const check = (value: unknown): number => checkInteger(value, 'epochs', 1, 10);
    assert.deepEqual([1, 10].map(check), [1, 10]);
    refuses(check, [0, 11, 1.5, ...noNumbers], 'an integer from 1 to 10 for epochs');
    assert.equal(checkInteger(Number.MAX_SAFE_INTEGER, 'seed', 0), Number.MAX_SAFE_INTEGER);
    const open = (value: unknown): number => checkInteger(value, 'seed', 0);
    refuses(open, [-1, 2 ** 53], 'an integer of at least 0 for seed');
  });

  it('take finite numbers in a range', () => {
    const cases = [
      {
        range: 'at least 0',
        good: [0, 1e300],
        bad: [-1e-9],
        words: 'a finite number of at least 0',
      },
      { range: 'above 0', good: [1e-300], bad: [0, -1], words: 'a finite number above 0' },
      {
        range: 'at least 0 and below 1',
        good: [0, 0.999],
        bad: [1, -0.1],
        words: 'a finite number of at least 0 and below 1',
      },
      { range: [0, 4], good: [0, 4], bad: [-0.1, 4.1], words: 'a number from 0 to 4' },
    ] as const;
    for (const { range, good, bad, words } of cases) {
      const check = (value: unknown): number => checkNumber(value, 'rate', range);
      assert.deepEqual(good.map(check), good);
      refuses(check, [...bad, ...noNumbers], `${words} for rate`);
    }
  });

  it('take lists of numbers and copy them', () => {
    const given = [0.9, 0.99];
    const taken = checkNumbers(given, 'betas', 2);
    assert.deepEqual(taken, given);
    assert.notEqual(taken, given);
    const noLists = [undefined, 1, [1], [1, 2, 3], [1, NaN], [1, '2'], Float32Array.of(1, 2)];
    refuses((value) => checkNumbers(value, 'betas', 2), noLists, 'two numbers for betas');
    assert.deepEqual(checkNumbers([1, 2, 3], 'std', 3, 'above 0'), [1, 2, 3]);
    const check = (value: unknown): unknown => checkNumbers(value, 'std', 3, 'above 0');
    refuses(
      check,
      [
        [1, 2],
        [1, 0, 1],
      ],
      'three numbers, each above 0 for std',
    );
  });

  it('take switches, texts, choices and objects', () => {
    assert.equal(checkBoolean(false, 'flip'), false);
    refuses((value) => checkBoolean(value, 'flip'), [0, 'yes', null], 'true or false for flip');
    assert.equal(checkText('last', 'resume', 'a path'), 'last');
    refuses((value) => checkText(value, 'resume', 'a path'), ['', 1, null], 'a path for resume');
    assert.equal(checkChoice(4, 'patchSize', [2, 4]), 4);
    refuses(
      (value) => checkChoice(value, 'patchSize', [2, 4]),
      [3, '4', undefined],
      'one of 2, 4 for patchSize',
    );
    checkObject({}, 'groups');
    refuses((value) => checkObject(value, 'groups'), [null, 'x', []], 'an object for groups');
  });

  it('name the name that is twice', () => {
    checkDistinct(['joy', 'anger'], 'classes');
    assert.throws(() => checkDistinct(['joy', 'anger', 'anger', 'joy'], 'classes'), {
      message: "Expected distinct names for classes but received 'anger'",
    });
  });

  it('know an index', () => {
    const isOne = [-1, 0, 2, 3, 0.5, NaN].map((value) => isIndex(value, 3));
    assert.deepEqual(isOne, [false, true, true, false, false, false]);
  });
});
