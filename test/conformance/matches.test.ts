import { describe, expect, it } from 'vitest';
import { columnsOf, LANGUAGES } from './adapters.js';
import { uncovered } from './coverage.js';
import { mismatch } from './matches.js';
import { namespaceOf, readScenarios } from './scenario.js';

describe('what a scenario expects', () => {
  it.each<[string, unknown, unknown]>([
    ['the same', 'v', 'v'],
    ['less than there is', { a: 1 }, { a: 1, b: 2 }],
    ['a number that JSON writes as text', 12, '12'],
    ['what proto3 leaves out because it is nought', { a: 0, b: false, c: '' }, {}],
    ['anything', '$any', 0],
    ['nothing', '$none', undefined],
    ['nothing, as null', '$none', null],
    ['more than nought', '$positive', '3'],
    ['a beginning', { $starts: 'key: ' }, 'key: 0 bytes'],
    ['a part', { $contains: 'down' }, 'it is down now'],
    ['within bounds', { $atLeast: 1, $atMost: 2 }, '2'],
    ['each in its place', [{ a: 1 }, 2], [{ a: 1, b: 1 }, 2]],
  ])('is met by %s', (_what, expected, actual) => {
    expect(mismatch(expected, actual)).toBeUndefined();
  });

  it.each<[string, unknown, unknown]>([
    ['another', 'v', 'w'],
    ['a field that is missing', { a: 'x' }, {}],
    ['another number', 12, '13'],
    ['nothing for anything', '$any', undefined],
    ['something for nothing', '$none', 0],
    ['nought for more', '$positive', '0'],
    ['another beginning', { $starts: 'key: ' }, 'ttl_ms: '],
    ['no such part', { $contains: 'down' }, 'up'],
    ['out of bounds', { $atLeast: 1, $atMost: 2 }, 3],
    ['below bounds', { $atLeast: 1 }, undefined],
    ['more than was listed', [1], [1, 1]],
    ['no list', [1], 1],
    ['no object', { a: 1 }, 'a'],
    ['true for false', false, true],
  ])('is not met by %s', (_what, expected, actual) => {
    expect(mismatch({ x: expected }, { x: actual })).toContain(': expected');
  });
});

describe('the scenarios', () => {
  const scenarios = readScenarios('test/conformance/scenarios');

  it('are at least forty, and know every value of every enum', () => {
    expect(scenarios.length).toBeGreaterThanOrEqual(40);
    expect(uncovered(scenarios)).toEqual([]);
  });

  it('would be missed', () => {
    const without = scenarios.filter(({ name }) => name !== 'a budget of rebuilds');
    expect(uncovered(without)).toEqual(['BUSY_REASON_BUDGET']);
  });

  it('each have a namespace of their own in each column', () => {
    const all = scenarios.flatMap((scenario) =>
      columnsOf(LANGUAGES).map(({ name }) => namespaceOf(scenario, name)),
    );
    expect(new Set(all).size).toBe(all.length);
    for (const namespace of all) expect(namespace).toMatch(/^[A-Za-z0-9_.-]{1,64}$/);
  });
});
