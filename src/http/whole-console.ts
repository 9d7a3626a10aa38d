import { SHOWN_DEGRADATIONS, type ShownDegraded } from '../coordination/words/outcome.js';
import type { ConsoleState, Counted, SecondOfWaits, ShownNode, WaitsByEnd } from './console-state.js';

/**
 * What several replicas show, as one: counts and rates are added, and of a degradation or a lock node's state the worst
 * one is shown. Percentiles cannot be added: that of the slowest replica is shown, which all of them together do not
 * exceed. `own` is what the whole says of itself. At most `shownMax` keys and leases.
 */
export function wholeConsole(
  states: readonly [ConsoleState, ...ConsoleState[]],
  own: Pick<ConsoleState['replica'], 'pid' | 'grpc' | 'draining' | 'uptimeMs' | 'workers'>,
  shownMax: number,
): ConsoleState {
  const [first] = states;
  const recents = states.map(({ recent }) => recent);
  const waits = states.map(({ now }) => now.waits);
  const keys = waitedFor(waits.flatMap((one) => one.keys));
  return {
    ...first,
    replica: { ...first.replica, ...own },
    now: {
      waiters: sum(states, ({ now }) => now.waiters),
      waits: {
        keys: keys.slice(0, shownMax),
        count: sum(waits, ({ count }) => count),
        longestMs: Math.max(...waits.map(({ longestMs }) => longestMs)),
      },
      sessions: sum(states, ({ now }) => now.sessions),
      nearCacheBytes: sum(states, ({ now }) => now.nearCacheBytes),
      undecided: states.some(({ now }) => now.undecided),
    },
    held: heldOf(
      states.map(({ held }) => held),
      keys,
      shownMax,
    ),
    recent: {
      ...first.recent,
      answers: added(recents.map(({ answers }) => answers)),
      publishes: added(recents.map(({ publishes }) => publishes)),
      leaseEnds: added(recents.map(({ leaseEnds }) => leaseEnds)),
      saved: {
        count: sum(recents, ({ saved }) => saved.count),
        total: sum(recents, ({ saved }) => saved.total),
      },
      waits: {
        byEnd: byEnd(recents.map((recent) => recent.waits.byEnd)),
        seconds: seconds(recents.flatMap((recent) => recent.waits.seconds)),
      },
      degraded: {
        mode: worstOf(recents.map(({ degraded }) => degraded.mode)),
        steps: recents.flatMap(({ degraded }) => degraded.steps).sort((a, b) => a.agoMs - b.agoMs),
      },
      nodes: nodesOf(recents.map(({ nodes }) => nodes)),
    },
  };
}

type Waited = ConsoleState['now']['waits']['keys'][number];

/** The callers that wait for a lease may wait at another replica than the one that granted it. */
function heldOf(
  held: readonly ConsoleState['held'][],
  keys: readonly Waited[],
  shownMax: number,
): ConsoleState['held'] {
  const waiting = new Map(keys.map((one) => [idOf(one), one.waiters]));
  const leases = held.flatMap((one) =>
    one.leases.map((lease) => ({
      ...lease,
      waiters: Math.max(lease.waiters, waiting.get(idOf(lease)) ?? 0),
    })),
  );
  const before = sum(held, (one) => sum(one.leases, ({ waiters }) => waiters));
  return {
    leases: leases.sort((a, b) => b.waiters - a.waiters || b.ageMs - a.ageMs).slice(0, shownMax),
    count: sum(held, ({ count }) => count),
    waiters: sum(held, ({ waiters }) => waiters) + sum(leases, ({ waiters }) => waiters) - before,
  };
}

function idOf({ namespace, key }: { readonly namespace: string; readonly key: string }): string {
  return `${namespace}\0${key}`;
}

/** Callers of one key may wait at several replicas. */
function waitedFor(waits: readonly Waited[]): Waited[] {
  const byKey = grouped(waits, idOf);
  return byKey
    .map((all) => ({
      ...(all[0] as Waited),
      waiters: sum(all, ({ waiters }) => waiters),
      longestMs: Math.max(...all.map(({ longestMs }) => longestMs)),
    }))
    .sort((a, b) => b.waiters - a.waiters || b.longestMs - a.longestMs);
}

function added(all: readonly (readonly Counted[])[]): Counted[] {
  return grouped(all.flat(), ({ name }) => name).map((same) => ({
    name: (same[0] as Counted).name,
    count: sum(same, ({ count }) => count),
    perSecond: sum(same, ({ perSecond }) => perSecond),
  }));
}

function byEnd(all: readonly (readonly WaitsByEnd[])[]): WaitsByEnd[] {
  return grouped(all.flat(), ({ endedBy }) => endedBy).map((same) => ({
    endedBy: (same[0] as WaitsByEnd).endedBy,
    count: sum(same, ({ count }) => count),
    p50Ms: slowest(same.map(({ p50Ms }) => p50Ms)),
    p99Ms: slowest(same.map(({ p99Ms }) => p99Ms)),
  }));
}

function seconds(all: readonly SecondOfWaits[]): SecondOfWaits[] {
  return grouped(all, ({ agoS }) => String(agoS))
    .map((same) => {
      const ended: Record<string, number> = {};
      for (const one of same) {
        for (const [end, count] of Object.entries(one.ended)) ended[end] = (ended[end] ?? 0) + count;
      }
      return {
        agoS: (same[0] as SecondOfWaits).agoS,
        ended,
        p50Ms: slowest(same.map(({ p50Ms }) => p50Ms)) ?? 0,
        p99Ms: slowest(same.map(({ p99Ms }) => p99Ms)) ?? 0,
      };
    })
    .sort((a, b) => a.agoS - b.agoS);
}

/** In the order of the first replica, with the state of one that does not vote there, if there is one. */
function nodesOf(all: readonly (readonly ShownNode[])[]): ShownNode[] {
  return grouped(all.flat(), ({ node }) => node).map((same) => {
    const worst = same.find(({ state }) => state !== 'voting') ?? (same[0] as ShownNode);
    const votes = (vote: 'for' | 'held' | 'missing') => sum(same, (one) => one.votes[vote]);
    return {
      ...worst,
      votes: { for: votes('for'), held: votes('held'), missing: votes('missing') },
      p50Ms: slowest(same.map(({ p50Ms }) => p50Ms)),
      p99Ms: slowest(same.map(({ p99Ms }) => p99Ms)),
    };
  });
}

function worstOf(modes: readonly ShownDegraded[]): ShownDegraded {
  const worst = Math.max(...modes.map((mode) => SHOWN_DEGRADATIONS.indexOf(mode)));
  return SHOWN_DEGRADATIONS[worst] ?? 'unknown';
}

/** In the order of their first ones. */
function grouped<Item>(items: readonly Item[], nameOf: (item: Item) => string): Item[][] {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const group = groups.get(nameOf(item));
    if (group === undefined) groups.set(nameOf(item), [item]);
    else group.push(item);
  }
  return [...groups.values()];
}

function sum<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

function slowest(times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
