import { describe, expect, it } from 'vitest';
import { Recent } from '../../../src/telemetry/recent.js';
import { ManualClock } from '../../support/manual-clock.js';

function trial() {
  const clock = new ManualClock();
  const recent = new Recent(clock);
  const shown = () => recent.shown([]);
  const named = (what: 'answers' | 'publishes' | 'leaseEnds', name: string) =>
    shown()[what].find((counted) => counted.name === name);
  return { clock, recent, shown, named };
}

describe('counts', () => {
  it('cover five minutes, and rates ten seconds', () => {
    const { clock, recent, named } = trial();
    for (let second = 0; second < 20; second += 1) {
      for (let hit = 0; hit < 6; hit += 1) recent.answered('space', 'hit');
      recent.answered('space', 'wait_ended');
      clock.advance(1_000);
    }
    expect(named('answers', 'hit')).toEqual({ name: 'hit', count: 120, perSecond: 6 });
    expect(named('answers', 'wait_ended')).toEqual({ name: 'wait_ended', count: 20, perSecond: 1 });
    expect(named('answers', 'lease')).toEqual({ name: 'lease', count: 0, perSecond: 0 });
    clock.advance(10_000);
    expect(named('answers', 'hit')).toEqual({ name: 'hit', count: 120, perSecond: 0 });
    clock.advance(300_000);
    expect(named('answers', 'hit')).toEqual({ name: 'hit', count: 0, perSecond: 0 });
  });

  it('distinguish publishes, ends of leases and saved rebuilds', () => {
    const { clock, recent, shown, named } = trial();
    recent.published('space', 'stored');
    recent.published('space', 'superseded');
    recent.leaseEnded('space', 'expired');
    recent.saved('space', 999);
    clock.advance(1_000);
    expect(named('publishes', 'stored')?.count).toBe(1);
    expect(named('publishes', 'superseded')?.count).toBe(1);
    expect(named('leaseEnds', 'expired')?.count).toBe(1);
    expect(shown().saved).toEqual({ count: 999, total: 999 });
    clock.advance(400_000);
    expect(shown().saved).toEqual({ count: 0, total: 999 });
  });
});

describe('waits', () => {
  it('are in the second in which they ended, with their percentiles', () => {
    const { clock, recent, shown } = trial();
    clock.advance(5_000);
    for (let n = 0; n < 99; n += 1) recent.waited('space', 'publish', 100);
    recent.waited('space', 'timeout', 5_000);
    clock.advance(3_000);
    const { seconds, byEnd } = shown().waits;
    expect(seconds).toHaveLength(1);
    expect(seconds[0]).toMatchObject({ agoS: 2, ended: { publish: 99, timeout: 1 } });
    expect(Math.round((seconds[0]?.p50Ms ?? 0) / 10)).toBe(10);
    expect(Math.round((seconds[0]?.p99Ms ?? 0) / 10)).toBe(10);
    const timeout = byEnd.find(({ endedBy }) => endedBy === 'timeout');
    expect(timeout?.count).toBe(1);
    expect(Math.round((timeout?.p99Ms ?? 0) / 1_000)).toBe(5);
    expect(byEnd.find(({ endedBy }) => endedBy === 'drain')).toEqual({
      ...{ endedBy: 'drain', count: 0, p50Ms: undefined, p99Ms: undefined },
    });
  });

  it('are forgotten after five minutes', () => {
    const { clock, recent, shown } = trial();
    recent.waited('space', 'publish', 100);
    clock.advance(300_000);
    expect(shown().waits.seconds).toEqual([expect.objectContaining({ agoS: 299 })]);
    clock.advance(1_000);
    expect(shown().waits.seconds).toEqual([]);
    clock.advance(10_000);
    expect(shown().waits.byEnd[0]).toMatchObject({ count: 0, p50Ms: undefined });
  });

  it('stay in their seconds if this process was blocked', () => {
    const { clock, recent, shown } = trial();
    recent.waited('space', 'publish', 100);
    clock.nowMs = () => 1_004_500;
    clock.advance(1_000);
    expect(shown().waits.seconds).toEqual([expect.objectContaining({ agoS: 3 })]);
  });
});

describe('the degradation', () => {
  it('is shown with its last twenty steps, newest first', () => {
    const { clock, recent, shown } = trial();
    expect(shown().degraded).toEqual({ mode: 'unknown', steps: [] });
    recent.degraded('none');
    expect(shown().degraded).toEqual({ mode: 'none', steps: [] });
    recent.degraded('store_lost');
    clock.advance(2_000);
    recent.degraded('local');
    recent.degraded('local');
    clock.advance(500);
    expect(shown().degraded).toEqual({
      mode: 'local',
      steps: [
        { from: 'store_lost', to: 'local', agoMs: 500 },
        { from: 'none', to: 'store_lost', agoMs: 2_500 },
      ],
    });
    for (let step = 0; step < 40; step += 1) recent.degraded(step % 2 === 0 ? 'none' : 'local');
    expect(shown().degraded.steps).toHaveLength(20);
  });
});

describe('lock nodes', () => {
  it('are shown with their state, their last vote and their speed', () => {
    const { clock, recent } = trial();
    recent.stateChanged('one', 'marked');
    clock.advance(1_000);
    for (let n = 0; n < 9; n += 1) recent.voted('one', 'for', 2);
    recent.voted('one', 'held', 2);
    recent.voted('one', 'missing', 100, 'timed out');
    clock.advance(1_500);
    const [one, two] = recent.shown([
      ['one', 'voting'],
      ['two', 'connecting'],
    ]).nodes;
    expect(one).toMatchObject({
      ...{ node: 'one', state: 'voting', why: 'marked', stateForMs: 2_500 },
      lastVote: { vote: 'missing', why: 'timed out', agoMs: 1_500 },
      votes: { for: 9, held: 1, missing: 1 },
    });
    // The timeout of a missing vote does not count as speed.
    expect(Math.round(one?.p99Ms ?? 0)).toBe(2);
    expect(two).toEqual({
      ...{ node: 'two', state: 'connecting', why: '', stateForMs: undefined, lastVote: undefined },
      ...{ votes: { for: 0, held: 0, missing: 0 }, p50Ms: undefined, p99Ms: undefined },
    });
    clock.advance(310_000);
    expect(recent.shown([['one', 'voting']]).nodes[0]).toMatchObject({
      ...{ votes: { for: 0, held: 0, missing: 0 }, p50Ms: undefined },
    });
  });
});

it('leaves no timer behind', () => {
  const { clock, recent } = trial();
  expect(clock.timers).toBe(1);
  clock.advance(5_000);
  recent.stop();
  expect(clock.timers).toBe(0);
});
