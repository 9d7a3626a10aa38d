import { describe, expect, it } from 'vitest';
import { columnsOf, LANGUAGES } from './adapters.js';
import { uncovered } from './coverage.js';
import { mismatch } from './matches.js';
import { namespaceOf, readScenarios } from './scenario.js';

describe('mismatch', () => {
  it.each<[string, unknown, unknown]>([
    ['the same value', 'v', 'v'],
    ['some of the fields', { a: 1 }, { a: 1, b: 2 }],
    ['a number that JSON writes as text', 12, '12'],
    ['zero values that proto3 leaves out', { a: 0, b: false, c: '' }, {}],
    ['$any and a value', '$any', 0],
    ['$none and undefined', '$none', undefined],
    ['$none and null', '$none', null],
    ['$positive and a number above zero', '$positive', '3'],
    ['$starts and the same beginning', { $starts: 'key: ' }, 'key: 0 bytes'],
    ['$contains and the same part', { $contains: 'down' }, 'it is down now'],
    ['bounds and a number within them', { $atLeast: 1, $atMost: 2 }, '2'],
    ['a list with the same elements', [{ a: 1 }, 2], [{ a: 1, b: 1 }, 2]],
  ])('accepts %s', (_what, expected, actual) => {
    expect(mismatch(expected, actual)).toBeUndefined();
  });

  it.each<[string, unknown, unknown]>([
    ['another value', 'v', 'w'],
    ['a missing field', { a: 'x' }, {}],
    ['another number', 12, '13'],
    ['$any without a value', '$any', undefined],
    ['$none with a value', '$none', 0],
    ['$positive and zero', '$positive', '0'],
    ['$starts and another beginning', { $starts: 'key: ' }, 'ttl_ms: '],
    ['$contains without the part', { $contains: 'down' }, 'up'],
    ['a number above the bounds', { $atLeast: 1, $atMost: 2 }, 3],
    ['a number below the bounds', { $atLeast: 1 }, undefined],
    ['a longer list', [1], [1, 1]],
    ['a number for a list', [1], 1],
    ['a text for an object', { a: 1 }, 'a'],
    ['true for false', false, true],
  ])('rejects %s', (_what, expected, actual) => {
    expect(mismatch({ x: expected }, { x: actual })).toContain(': expected');
  });
});

describe('the scenarios', () => {
  const scenarios = readScenarios('test/conformance/scenarios');

  it('are at least forty, and use every value of every enum', () => {
    expect(scenarios.length).toBeGreaterThanOrEqual(40);
    expect(uncovered(scenarios)).toEqual([]);
  });

  it('leave a value uncovered if one of them is removed', () => {
    const without = scenarios.filter(({ name }) => name !== 'a budget of rebuilds');
    expect(uncovered(without)).toEqual(['BUSY_REASON_BUDGET']);
  });

  it('have different namespaces in all columns and attempts', () => {
    const all = scenarios.flatMap((scenario) =>
      columnsOf(LANGUAGES).flatMap(({ name }) =>
        [1, 2].map((attempt) => namespaceOf(scenario, name, attempt)),
      ),
    );
    expect(new Set(all).size).toBe(all.length);
    for (const namespace of all) expect(namespace).toMatch(/^[A-Za-z0-9_.-]{1,64}$/);
  });
});
