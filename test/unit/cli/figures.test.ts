import { describe, expect, it } from 'vitest';
import { busyOf, callsOf, type Figures, figuresOf, hitRatioOf, together } from '../../../src/cli/figures.js';
import { readPrometheusText } from '../../../src/cli/prometheus-text.js';
import { LABELS, METRICS } from '../../../src/telemetry/names.js';

const scrape = (atMs: number, text: string) => ({ atMs, samples: readPrometheusText(text) });
const calls = (hit: number, busy: number) => `
dibs_get_or_lock_total{namespace="a",outcome="hit"} ${hit}
dibs_get_or_lock_total{namespace="b",outcome="hit"} ${hit}
dibs_get_or_lock_total{namespace="b",outcome="stale"} 5
dibs_get_or_lock_total{namespace="b",outcome="wait_ended"} ${busy}
dibs_publish_total{namespace="a",outcome="stored"} ${hit}
dibs_publish_total{namespace="a",outcome="duplicate"} ${busy}
`;

describe('the figures of a replica', () => {
  it('are rates between two scrapes, over all namespaces', () => {
    const figures = figuresOf(scrape(1_000, calls(10, 0)), scrape(3_000, calls(20, 4)));
    expect(Object.fromEntries(figures.calls)).toEqual({ hit: 10, stale: 0, wait_ended: 2 });
    expect(callsOf(figures)).toBe(12);
    expect(hitRatioOf(figures)).toBeCloseTo(10 / 12);
    expect(Object.fromEntries(busyOf(figures))).toEqual({ wait_ended: 2 });
    expect(figures.publishes).toBe(7);
  });

  it('begin at 0 after a restart in between, and for series that are new', () => {
    const again = figuresOf(scrape(0, calls(100, 100)), scrape(1_000, calls(3, 1)));
    expect(again.calls.get('hit')).toBe(6);
    expect(again.calls.get('wait_ended')).toBe(1);
    expect(figuresOf(scrape(0, ''), scrape(1_000, calls(3, 1))).calls.get('hit')).toBe(6);
  });

  it('contain the current gauges', () => {
    const now = `
dibs_waiters 12
dibs_longest_wait_seconds 1.5
dibs_leases_held 3
dibs_quorum_nodes{state="voting"} 4
dibs_quorum_nodes{state="suspect"} 1
dibs_degraded{mode="none"} 0
dibs_degraded{mode="quorum_lost"} 1
dibs_degraded{mode="local"} 0
`;
    const figures = figuresOf(
      scrape(0, 'dibs_waiters 100\ndibs_degraded{mode="local"} 1'),
      scrape(1_000, now),
    );
    expect(figures).toMatchObject({ waiters: 12, longestWaitMs: 1_500, leases: 3 });
    expect(Object.fromEntries(figures.lockNodes)).toEqual({ voting: 4, suspect: 1 });
    expect([...figures.degraded]).toEqual(['quorum_lost']);
  });

  it('have no hit ratio without calls', () => {
    expect(hitRatioOf(figuresOf(scrape(0, calls(1, 1)), scrape(1_000, calls(1, 1))))).toBeUndefined();
  });

  it('add up over replicas', () => {
    const one: Figures = {
      calls: new Map([['hit', 9]]),
      ...{ publishes: 1, waiters: 2, longestWaitMs: 700, leases: 3 },
      lockNodes: new Map([['voting', 5]]),
      degraded: new Set(),
    };
    const other = {
      ...one,
      longestWaitMs: 900,
      calls: new Map([['lease', 1]]),
      degraded: new Set(['local']),
    };
    expect(together([one, other])).toEqual({
      calls: new Map([
        ['hit', 9],
        ['lease', 1],
      ]),
      ...{ publishes: 2, waiters: 4, longestWaitMs: 900, leases: 6 },
      lockNodes: new Map(),
      degraded: new Set(['local']),
    });
  });

  it('have a longest wait only if a replica reports it', () => {
    const silent = figuresOf(scrape(0, ''), scrape(1_000, 'dibs_waiters 12'));
    expect(silent.longestWaitMs).toBeUndefined();
    expect(together([silent]).longestWaitMs).toBeUndefined();
    expect(together([silent, { ...silent, longestWaitMs: 5 }]).longestWaitMs).toBe(5);
  });

  it('use the names and labels of the service', () => {
    const { getOrLock, publish, waiters, longestWait, leasesHeld, quorumNodes, degraded } = METRICS;
    const { outcome, state, mode } = LABELS;
    const told = figuresOf(
      { atMs: 0, samples: [] },
      {
        atMs: 1_000,
        samples: [
          { name: getOrLock, labels: { [outcome]: 'hit' }, value: 1 },
          { name: publish, labels: { [outcome]: 'stored' }, value: 1 },
          { name: waiters, labels: {}, value: 1 },
          { name: longestWait, labels: {}, value: 2 },
          { name: leasesHeld, labels: {}, value: 1 },
          { name: quorumNodes, labels: { [state]: 'voting' }, value: 1 },
          { name: degraded, labels: { [mode]: 'local' }, value: 1 },
        ],
      },
    );
    expect(told).toEqual({
      calls: new Map([['hit', 1]]),
      ...{ publishes: 1, waiters: 1, longestWaitMs: 2_000, leases: 1 },
      lockNodes: new Map([['voting', 1]]),
      degraded: new Set(['local']),
    });
  });
});
