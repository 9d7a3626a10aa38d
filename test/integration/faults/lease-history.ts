import {
  byKey,
  type Entry,
  type GetEntry,
  type InvalidateEntry,
  meets,
  type PublishEntry,
  type Timed,
  type Window,
} from './history.js';
import { nearReadsAfter } from './near-reads.js';

export interface Verdict {
  readonly violations: string[];
  readonly late: number;
  readonly counts: Record<string, number>;
}

/** How much longer than its wait an answer can take. */
const LATE_MS = 1_000;
/** The longest time for a caller that does not wait, while the store or lock nodes are late. */
const PROMPT_MS = 1_000;
/** How long a request without an answer may still reach the store: two attempts, and their transport. */
export const UNDER_WAY_MS = 5_000;
/**
 * Errors that mean that nothing was decided, or that a replica without CPU accepts no more callers. Any other error is
 * a fault of the service.
 */
const UNDECIDED = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED', 'RESOURCE_EXHAUSTED']);
/** How far the store may be behind its client's clock, for times that a client can only estimate. */
const MARGIN_MS = 20;

/** Judges the whole history. Each violation is certain, however long the network took. */
export function judge(entries: readonly Entry[], windows: readonly Window[]): Verdict {
  const violations: string[] = [];
  const counts: Record<string, number> = {};
  const count = (what: string) => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  const gets = entries.filter((entry) => entry.e === 'get');
  const leases = gets.filter(({ outcome }) => outcome === 'lease');
  const publishes = entries.filter((entry) => entry.e === 'publish');
  const invalidations = known(entries.filter((entry) => entry.e === 'invalidate'));
  for (const { outcome, code } of gets) count(code === undefined ? outcome : `${outcome} ${code}`);
  for (const { degraded } of leases) count(`lease ${degraded}`);
  for (const { outcome } of publishes) count(`publish ${outcome}`);
  for (const entry of entries) if (entry.e === 'extend') count(`extend ${entry.outcome}`);

  violations.push(...fences(leases), ...storedOnce(publishes), ...namespaces(gets));
  violations.push(...readsAfter(invalidations, gets, leases));
  violations.push(...nearReadsAfter(invalidations, gets, leases, windows));
  violations.push(...overlaps(leases, entries, invalidations, windows));
  const changes = [...publishes, ...invalidations, ...unanswered(entries, publishes), ...lost(windows)];
  violations.push(...rebuiltWhileFresh(leases, publishes, changes, windows));
  for (const { key, code } of gets) {
    if (code !== undefined && !UNDECIDED.has(code)) violations.push(`INV-9 ${key}: ended with ${code}`);
  }
  const excused = windows.filter(({ kind }) => kind === 'stopped' || kind === 'starved');
  const late = gets.filter(
    ({ start, end, waitMs }) =>
      end - start > (waitMs || PROMPT_MS) + LATE_MS && !excused.some((window) => meets(window, start, end)),
  );
  for (const { key, start, end, waitMs } of late) {
    violations.push(`INV-9 ${key}: answered after ${(end - start).toFixed(0)} ms of a wait of ${waitMs}`);
  }
  return { violations, late: late.length, counts };
}

/** Returns each invalidation once: acknowledged, if it was. */
function known(invalidations: readonly InvalidateEntry[]): InvalidateEntry[] {
  const id = ({ key, start }: InvalidateEntry) => `${key} ${start}`;
  const acknowledged = new Set(invalidations.filter((one) => one.acknowledged).map(id));
  return invalidations.filter((one) => one.acknowledged || !acknowledged.has(id(one)));
}

/** Returns the leases that were given up whose publish or release may have reached the store at an unknown time. */
function unanswered(entries: readonly Entry[], publishes: readonly PublishEntry[]): Timed[] {
  const answered = new Set(publishes.map(({ token }) => token));
  return entries
    .filter((entry) => entry.e === 'give_up')
    .filter(({ token }) => !answered.has(token))
    .map(({ key, at }) => ({ key, start: at, end: at + UNDER_WAY_MS }));
}

/** Returns the losses of records: what the store had acknowledged for their keys is gone. */
function lost(windows: readonly Window[]): Timed[] {
  return windows
    .filter((window) => window.kind === 'forgotten')
    .map(({ key, from, to }) => ({ key, start: from, end: to }));
}

/** INV-1: no two leases of a key have the same fence, and a lease requested after another has a higher one. */
export function fences(leases: readonly GetEntry[]): string[] {
  const violations: string[] = [];
  for (const [key, all] of byKey(leases.filter(({ fence = 0 }) => fence > 0))) {
    const tokens = new Map<number, string>();
    let highest = 0;
    // Compares each lease only with those given before it was requested, by walking both orders together.
    const came = [...all].sort((a, b) => a.end - b.end);
    let next = 0;
    for (const { fence = 0, token = '', start } of [...all].sort((a, b) => a.start - b.start)) {
      for (let done = came[next]; done !== undefined && done.end < start; done = came[++next]) {
        highest = Math.max(highest, done.fence ?? 0);
      }
      const other = tokens.get(fence);
      if (other !== undefined && other !== token)
        violations.push(`INV-1 ${key}: fence ${fence} was given twice`);
      if (other === undefined && fence < highest)
        violations.push(`INV-1 ${key}: fence ${fence} after ${highest}`);
      tokens.set(fence, token);
    }
  }
  return violations;
}

/** INV-2: at most one publish of a token is stored. */
export function storedOnce(publishes: readonly PublishEntry[]): string[] {
  const stored = new Set<string>();
  const violations: string[] = [];
  for (const { key, token, outcome } of publishes) {
    if (outcome !== 'STORED' && outcome !== 'STORED_LATE') continue;
    if (stored.has(token)) violations.push(`INV-2 ${key}: stored twice under one token`);
    stored.add(token);
  }
  return violations;
}

/** INV-3: READ_STORE after an invalidation does not return a value of a lease from before it. */
export function readsAfter(
  invalidations: readonly InvalidateEntry[],
  gets: readonly GetEntry[],
  leases: readonly GetEntry[],
): string[] {
  const violations: string[] = [];
  const cameAt = new Map(leases.map(({ key, fence, end }) => [`${key} ${fence}`, end]));
  const keyed = byKey(invalidations.filter(({ acknowledged }) => acknowledged));
  for (const { key, store, outcome, value, fresh, start } of gets) {
    if (!store || outcome !== 'hit' || value === undefined) continue;
    const madeAfter = cameAt.get(`${key} ${value.fence}`);
    if (madeAfter === undefined) continue;
    for (const invalidation of keyed.get(key) ?? []) {
      const before = madeAfter < invalidation.start && invalidation.end < start;
      if (before && (invalidation.mode === 'delete' || fresh === true)) {
        violations.push(`INV-3 ${key}: READ_STORE served fence ${value.fence} after ${invalidation.mode}`);
      }
    }
  }
  return violations;
}

/** INV-4: no lease of the upper modes is given while another one certainly runs. */
export function overlaps(
  leases: readonly GetEntry[],
  entries: readonly Entry[],
  invalidations: readonly InvalidateEntry[],
  windows: readonly Window[],
): string[] {
  const violations: string[] = [];
  const overAt = new Map<string, number>();
  const runsUntil = new Map<string, number>();
  const invalidated = byKey(invalidations);
  const forgotten = byKey(lost(windows));
  const storeTrouble = windows.filter(({ kind }) => kind === 'store');
  for (const entry of entries) {
    if (entry.e === 'give_up')
      overAt.set(entry.token, Math.min(entry.at, overAt.get(entry.token) ?? Infinity));
    if (entry.e !== 'extend') continue;
    if (entry.outcome === 'LOST')
      overAt.set(entry.token, Math.min(entry.start, overAt.get(entry.token) ?? Infinity));
    // While the store was in trouble, the quorum alone may have extended it, which excludes no caller.
    const alone = storeTrouble.some((window) => meets(window, entry.start - LATE_MS, entry.end));
    if (entry.outcome === 'EXTENDED' && !alone) {
      runsUntil.set(entry.token, Math.max(entry.start + entry.expiresInMs, runsUntil.get(entry.token) ?? 0));
    }
  }
  const upper = leases.filter(({ degraded }) => degraded === 'NONE' || degraded === 'QUORUM_LOST');
  for (const [key, all] of byKey(upper)) {
    all.sort((a, b) => a.end - b.end);
    for (const [at, later] of all.entries()) {
      for (let before = at - 1; before >= 0 && before >= at - 8; before -= 1) {
        const earlier = all[before] as GetEntry;
        const { token = '', start, end, expiresInMs = 0 } = earlier;
        if (token === later.token || end > later.start) continue;
        // Without the record, only the lock nodes exclude others, and only for leases that they gave themselves.
        const isForgotten = (forgotten.get(key) ?? []).some(
          (one) => one.end > start && one.start < later.end,
        );
        if (isForgotten && [earlier.degraded, later.degraded].includes('QUORUM_LOST')) continue;
        const until = Math.max(start + expiresInMs, isForgotten ? 0 : (runsUntil.get(token) ?? 0));
        const over = overAt.get(token) ?? Infinity;
        const voided = (invalidated.get(key) ?? []).some((one) => one.end > start && one.start < later.end);
        if (until > later.end + MARGIN_MS && over > later.end && !voided) {
          violations.push(
            `INV-4 ${key}: fence ${later.fence} beside ${earlier.fence}, ${(until - later.end).toFixed(0)} ms left`,
          );
        }
      }
    }
  }
  return violations;
}

/** INV-7: after an acknowledged publish no caller gets a lease until the value ends, is replaced or invalidated. */
export function rebuiltWhileFresh(
  leases: readonly GetEntry[],
  publishes: readonly PublishEntry[],
  changes: readonly Timed[],
  windows: readonly Window[],
): string[] {
  const violations: string[] = [];
  const leased = byKey(leases);
  const changed = byKey(changes);
  // A late answer of a store in trouble makes a value count as expired sooner.
  const storeTrouble = windows.filter(({ kind }) => kind === 'store');
  for (const publish of publishes) {
    const { key, start, end, outcome, ttlMs } = publish;
    if (outcome !== 'STORED' && outcome !== 'STORED_LATE') continue;
    const madeUnder = (leased.get(key) ?? []).find(({ token }) => token === publish.token);
    const sinceOf = (change: Timed) =>
      'byTag' in change && change.byTag === true ? Math.min(start, madeUnder?.start ?? start) : start;
    for (const lease of leased.get(key) ?? []) {
      const asked = lease.refresh || lease.reason === 'EARLY_REFRESH' || lease.fence === 0;
      // A read counts from when it was sent, so a slow call sees the value as older.
      const seenUntil = lease.end + (lease.end - lease.start);
      if (asked || lease.start < end || seenUntil > start + ttlMs - MARGIN_MS) continue;
      const excused = storeTrouble.some((window) => meets(window, lease.start, lease.end));
      const other = (changed.get(key) ?? []).some(
        (one) => one !== publish && one.end > sinceOf(one) && one.start < lease.end,
      );
      if (excused || other) continue;
      const ms = (at: number) => (at - start).toFixed(0);
      violations.push(
        `INV-7 ${key}: a lease for ${lease.reason}, fence ${lease.fence}, requested ${ms(lease.start)} and given ` +
          `${ms(lease.end)} ms after the publish of ${publish.token} for ${ttlMs} ms`,
      );
    }
  }
  return violations;
}

/** INV-8: a value belongs to the requested key in its namespace. */
export function namespaces(gets: readonly GetEntry[]): string[] {
  return gets.flatMap(({ key, value }) =>
    value === undefined || value.key === key ? [] : [`INV-8 ${key}: a value of ${value.key}`],
  );
}
