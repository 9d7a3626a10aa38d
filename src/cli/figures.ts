import type { Sample } from './prometheus-text.js';

/** All metrics of one replica, and when they were read. */
export interface Scrape {
  readonly atMs: number;
  readonly samples: readonly Sample[];
}

/** What you want to know on call about one replica, or about all. */
export interface Figures {
  /** GetOrLock calls per second, by outcome. */
  readonly calls: ReadonlyMap<string, number>;
  readonly publishes: number;
  readonly waiters: number;
  /** How long the longest waiter has waited; undefined if the replica's version does not report it. */
  readonly longestWaitMs: number | undefined;
  readonly leases: number;
  /** Lock nodes by state; empty in the embedded mode. */
  readonly lockNodes: ReadonlyMap<string, number>;
  /** The current degradation; empty if there is none. */
  readonly degraded: ReadonlySet<string>;
}

/** The answers that carry a value, a lease or a failure; all others are reasons to be busy. */
const NOT_BUSY: ReadonlySet<string> = new Set(['hit', 'stale', 'lease', 'failed']);

/** What happened between two scrapes of the same replica, and its state at the second. */
export function figuresOf(before: Scrape, after: Scrape): Figures {
  const seconds = (after.atMs - before.atMs) / 1_000;
  const perSecond = (name: string, label: string) => {
    const was = sumBy(before.samples, name, label);
    // Less than before: the replica has been started again in between, and counts from 0.
    const gained = (now: number, past: number) => (now < past ? now : now - past);
    return mapped(sumBy(after.samples, name, label), (now, key) => gained(now, was.get(key) ?? 0) / seconds);
  };
  const total = (name: string) => sum(sumBy(after.samples, name, '').values());
  return {
    calls: perSecond('dibs_get_or_lock_total', 'outcome'),
    publishes: sum(perSecond('dibs_publish_total', 'outcome').values()),
    waiters: total('dibs_waiters'),
    longestWaitMs: longestWaitMsOf(after.samples),
    leases: total('dibs_leases_held'),
    lockNodes: sumBy(after.samples, 'dibs_quorum_nodes', 'state'),
    degraded: new Set(
      [...sumBy(after.samples, 'dibs_degraded', 'mode')].flatMap(([mode, is]) =>
        is > 0 && mode !== 'none' && mode !== 'unknown' ? [mode] : [],
      ),
    ),
  };
}

/** Several replicas as one. They share their lock nodes, so what each of them sees of the nodes is left out. */
export function together(all: readonly Figures[]): Figures {
  const calls = new Map<string, number>();
  for (const figures of all) {
    for (const [outcome, perSecond] of figures.calls)
      calls.set(outcome, (calls.get(outcome) ?? 0) + perSecond);
  }
  return {
    calls,
    publishes: sum(all.map(({ publishes }) => publishes)),
    waiters: sum(all.map(({ waiters }) => waiters)),
    longestWaitMs: longest(all.map(({ longestWaitMs }) => longestWaitMs)),
    leases: sum(all.map(({ leases }) => leases)),
    lockNodes: new Map(),
    degraded: new Set(all.flatMap(({ degraded }) => [...degraded])),
  };
}

export function callsOf({ calls }: Figures): number {
  return sum(calls.values());
}

/** The share of calls that got a value, fresh or stale; undefined without any call. */
export function hitRatioOf(figures: Figures): number | undefined {
  const { calls } = figures;
  const all = callsOf(figures);
  return all === 0 ? undefined : ((calls.get('hit') ?? 0) + (calls.get('stale') ?? 0)) / all;
}

/** Busy answers per second, by reason. */
export function busyOf({ calls }: Figures): Map<string, number> {
  return new Map([...calls].filter(([outcome, perSecond]) => perSecond > 0 && !NOT_BUSY.has(outcome)));
}

function longestWaitMsOf(samples: readonly Sample[]): number | undefined {
  const seconds = samples.find(({ name }) => name === 'dibs_longest_wait_seconds')?.value;
  return seconds === undefined ? undefined : seconds * 1_000;
}

function longest(all: readonly (number | undefined)[]): number | undefined {
  const known = all.filter((ms) => ms !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

function sumBy(samples: readonly Sample[], name: string, label: string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const sample of samples) {
    if (sample.name !== name) continue;
    const key = sample.labels[label] ?? '';
    sums.set(key, (sums.get(key) ?? 0) + sample.value);
  }
  return sums;
}

function mapped(map: ReadonlyMap<string, number>, to: (value: number, key: string) => number) {
  return new Map([...map].map(([key, value]) => [key, to(value, key)]));
}

export function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
