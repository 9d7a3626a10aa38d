import { expect, it } from 'vitest';
import type { ConsoleState } from '../../../src/http/console-state.js';
import { wholeConsole } from '../../../src/http/whole-console.js';

const OWN = { pid: 1, grpc: ['127.0.0.1:1'], draining: false, uptimeMs: 5, workers: { serving: 2, of: 2 } };

interface Some {
  readonly now?: Partial<ConsoleState['now']>;
  readonly held?: Partial<ConsoleState['held']>;
  readonly recent?: Partial<ConsoleState['recent']>;
}

function stateOf({ now, held, recent }: Some = {}): ConsoleState {
  return {
    atMs: 1,
    replica: { host: 'h', pid: 7, grpc: [], version: '1', mode: 'quorum', draining: false, uptimeMs: 3 },
    now: {
      ...{ waiters: 0, waits: { keys: [], count: 0, longestMs: 0 }, sessions: 0 },
      ...{ nearCacheBytes: 0, undecided: false, ...now },
    },
    held: { leases: [], count: 0, waiters: 0, ...held },
    traceUrl: '',
    recent: {
      ...{ windowS: 300, lastSecondAgoMs: 1, rateS: 10, answers: [], publishes: [], leaseEnds: [] },
      ...{ saved: { count: 0, total: 0 }, waits: { byEnd: [], seconds: [] } },
      ...{ degraded: { mode: 'none', steps: [] }, nodes: [], ...recent },
    },
  };
}

const whole = (one: Some, other: Some, shownMax = 500) =>
  wholeConsole([stateOf(one), stateOf(other)], OWN, shownMax);
const wait = (key: string, waiters: number, longestMs: number) => ({
  namespace: 'n',
  key,
  waiters,
  longestMs,
});
const waitsOf = (...keys: ReturnType<typeof wait>[]) => ({
  waiters: keys.reduce((sum, { waiters }) => sum + waiters, 0),
  waits: { keys, count: keys.length, longestMs: Math.max(...keys.map(({ longestMs }) => longestMs)) },
});
const lease = (key: string, waiters: number, ageMs: number) => ({
  ...{ namespace: 'n', key, holder: '', reason: 'absent', kind: 'quorum', ageMs, leftMs: 1, leaseMs: 2 },
  ...{ waiters, traceparent: '' },
});
type Leases = ConsoleState['held']['leases'];

it('shows the replica of the main process, with its number of workers', () => {
  expect(whole({}, {}).replica).toEqual({ host: 'h', version: '1', mode: 'quorum', ...OWN });
});

it('adds the current numbers', () => {
  const { now } = whole(
    { now: { ...waitsOf(wait('a', 1, 10), wait('b', 5, 20)), sessions: 1, nearCacheBytes: 100 } },
    { now: { ...waitsOf(wait('a', 6, 30)), sessions: 2, nearCacheBytes: 10, undecided: true } },
  );
  expect(now).toMatchObject({ waiters: 12, sessions: 3, nearCacheBytes: 110, undecided: true });
  expect(now.waits).toMatchObject({ keys: [wait('a', 7, 30), wait('b', 5, 20)], longestMs: 30 });
});

it('shows a lease with its waiters of all workers, and a bounded number of leases', () => {
  const one = { leases: [lease('a', 0, 5), lease('b', 1, 9)] as unknown as Leases, count: 2, waiters: 1 };
  const other = { leases: [lease('c', 2, 1)] as unknown as Leases, count: 1, waiters: 2 };
  const { held } = whole({ held: one }, { held: other, now: waitsOf(wait('a', 3, 1), wait('c', 2, 1)) }, 2);
  expect(held.leases.map(({ key, waiters }) => [key, waiters])).toEqual([
    ['a', 3],
    ['c', 2],
  ]);
  expect(held).toMatchObject({ count: 3, waiters: 6 });
});

it('adds counts and rates, and takes the percentiles of the slowest worker', () => {
  const counted = (count: number) => [{ name: 'hit', count, perSecond: count / 10 }];
  const byEnd = (count: number, p50Ms?: number) => [
    { endedBy: 'publish' as const, count, p50Ms, p99Ms: p50Ms },
  ];
  const second = (agoS: number, value: number, p50Ms: number) => ({
    agoS,
    ended: { value },
    p50Ms,
    p99Ms: p50Ms,
  });
  const { recent } = whole(
    {
      recent: {
        answers: counted(10),
        waits: { byEnd: byEnd(1, 5), seconds: [second(0, 1, 5), second(3, 1, 7)] },
      },
    },
    {
      recent: {
        answers: counted(20),
        waits: { byEnd: byEnd(2), seconds: [second(0, 2, 4), second(1, 1, 1)] },
      },
    },
  );
  expect(recent.answers).toEqual(counted(30));
  expect(recent.waits.byEnd).toEqual(byEnd(3, 5));
  expect(recent.waits.seconds).toEqual([second(0, 3, 5), second(1, 1, 1), second(3, 1, 7)]);
});

it('shows the worst degradation, and the worst state of each lock node', () => {
  const node = (state: string, held: number) => ({
    ...{ node: 'a', state, why: state, votes: { for: 1, held, missing: 0 }, p50Ms: held },
  });
  const step = (agoMs: number) => ({ from: 'none' as const, to: 'local' as const, agoMs });
  const { recent } = whole(
    { recent: { degraded: { mode: 'none', steps: [step(4)] }, nodes: [node('voting', 1)] } },
    { recent: { degraded: { mode: 'quorum_lost', steps: [step(1), step(9)] }, nodes: [node('waiting', 2)] } },
  );
  expect(recent.degraded).toEqual({ mode: 'quorum_lost', steps: [step(1), step(4), step(9)] });
  expect(recent.nodes).toEqual([
    {
      node: 'a',
      state: 'waiting',
      why: 'waiting',
      votes: { for: 2, held: 3, missing: 0 },
      p50Ms: 2,
      p99Ms: undefined,
    },
  ]);
});
