import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { lockTrials, storeTrials } from '../../../src/redis/examination.js';

const PAGE = readFileSync('deploy/operations/redis-acl.md', 'utf8');

/** The commands that the page grants to the user. */
function granted(user: string): string[] {
  const [, rule = ''] = new RegExp(`^user ${user} (.*)$`, 'm').exec(PAGE) ?? [];
  return [...rule.matchAll(/ \+([\w|]+)/g)].map(([, command = '']) => command);
}

it.each([
  ['dibs-lock', lockTrials('id'), []],
  // The end-to-end trial subscribes.
  ['dibs-store', storeTrials('id'), ['subscribe']],
] as const)('tries each command that the page grants to %s, and no others', (user, trials, elsewhere) => {
  const tried = trials.map(([right]) => right).filter((right) => !right.startsWith('the key '));
  expect([...tried, ...elsewhere].sort()).toEqual(granted(user).sort());
});

it('leaves nothing behind if the trial is interrupted', () => {
  for (const trials of [lockTrials('id'), storeTrials('id')]) {
    const [, ...set] = trials.find(([right]) => right === 'set') ?? [];
    expect(set).toEqual(['set', expect.any(String), 1, 'PX', 10_000]);
    const writes = trials.findIndex(([right]) => right === 'set');
    // Before the string exists, other commands would create a hash or a sorted set.
    expect(trials.slice(0, writes).map(([right]) => right)).toEqual([
      'ping',
      'info',
      'time',
      'client|setname',
    ]);
    expect(trials.at(-1)?.[0]).toMatch(/^(?:del|unlink)$/);
  }
});
