import { expect, it } from 'vitest';
import type { Figures } from '../../../src/cli/figures.js';
import { topText } from '../../../src/cli/top-text.js';

const AT = new Date(2026, 0, 1, 14, 3, 9);
const whole: Figures = {
  calls: new Map([
    ['hit', 1_190],
    ['lease', 4.5],
    ['budget', 2],
    ['wait_ended', 0],
  ]),
  ...{ publishes: 4.25, waiters: 1_200, longestWaitMs: 12_340, leases: 3 },
  lockNodes: new Map([
    ['voting', 4],
    ['suspect', 1],
    ['waiting', 0],
  ]),
  degraded: new Set(),
};
const degraded: Figures = {
  ...{
    calls: new Map(),
    publishes: 0,
    waiters: 0,
    longestWaitMs: undefined,
    leases: 0,
    lockNodes: new Map(),
  },
  degraded: new Set(['store_lost']),
};

it('shows a row for each replica, their sum, unreachable replicas, and why callers are busy', () => {
  const seen = [
    { replica: 'a:9464', figures: whole },
    { replica: 'b:9464', figures: degraded },
    { replica: 'c:9464', problem: 'connection refused' },
  ] as const;
  expect(topText(seen, AT)).toEqual([
    'dibs top  14:03:09  3 replicas',
    '',
    'REPLICA  CALLS/S  HIT/S  STALE/S  LEASE/S  BUSY/S  FAILED/S   HITS  WAITERS  LONGEST  LEASES  PUBLISH/S  LOCK NODES           DEGRADED',
    'a:9464     1,197  1,190        0      4.5     2.0         0  99.5%    1,200   12.3 s       3        4.3  4 voting, 1 suspect  no',
    'b:9464         0      0        0        0       0         0      -        0        -       0          0  embedded             store_lost',
    'all        1,197  1,190        0      4.5     2.0         0  99.5%    1,200   12.3 s       3        4.3                       store_lost',
    'c:9464: connection refused',
    '',
    'busy: budget 2.0/s',
  ]);
});

it('shows no sum for one replica, and no table without figures', () => {
  expect(topText([{ replica: 'a:9464', figures: whole }], AT).join('\n')).not.toContain('all ');
  expect(topText([{ replica: 'a:9464', problem: 'bad\u001b[2J' }], AT)).toEqual([
    'dibs top  14:03:09  1 replica',
    '',
    'a:9464: bad\\u001b[2J',
  ]);
});
