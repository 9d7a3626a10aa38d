import { randomUUID } from 'node:crypto';
import { type Calls, isUnreachable } from './calls.js';
import { DibsBusyError, DibsError, RebuildFailedError } from './errors.js';
import type { Flights } from './flights.js';
import type { HeldLeases } from './held-leases.js';
import { type Hooks, tell } from './hooks.js';
import { DEFAULT_WAIT_MS, type RebuildOptions } from './options.js';
import type { Busy, GetOrLockOutcome, Hit, Lease } from './outcomes.js';
import { pause } from './pause.js';
import { type RebuildBytes, rebuildUnderLease } from './rebuild.js';

/** What one fetch loop needs: who asks for what, and what it is made of. */
export interface FetchLoop {
  readonly calls: Calls;
  readonly hooks: Hooks;
  readonly namespace: string;
  readonly key: string;
  readonly rebuild: RebuildBytes;
  readonly options: Omit<RebuildOptions, 'signal'>;
  readonly onUnavailable: 'rebuild' | 'fail';
  /** Rebuilds of this process that go without the service: one at a time for each key. */
  readonly local: Flights<Uint8Array | null>;
  /** Aborted when nobody waits any more. */
  readonly signal: AbortSignal;
  readonly held: HeldLeases;
}

/** A wait that took less was none: the answer's way over the network. */
const WAITED_MS_MIN = 10;
/** Between two questions, at the least, however soon the service says to come back. */
const PAUSE_MS_MIN = 10;
/** What the answer's way may take, above the wait. */
const WAY_MS = 2_000;

/**
 * How often in a row the service may break off before it counts as out of reach: a replica that was killed ends
 * its calls so, and the next attempt reaches another. Where there is none, it fails within milliseconds.
 */
const BROKEN_OFF_MAX = 2;

/** GetOrLock until there is a value, a failure, or no time left; rebuilding where a lease comes. */
export async function fetchLoop(steps: FetchLoop): Promise<Uint8Array | null> {
  const { options, signal, namespace, key, hooks } = steps;
  const untilMs = performance.now() + (options.waitMs ?? DEFAULT_WAIT_MS);
  // The same for every attempt: a lease whose answer was lost on its way comes again.
  const requestId = randomUUID();
  let brokenOff = 0;
  for (;;) {
    signal.throwIfAborted();
    const askedMs = performance.now();
    let outcome: GetOrLockOutcome;
    try {
      outcome = await ask(steps, requestId, untilMs - askedMs);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof DibsError)) throw error;
      if (isUnreachable(error)) {
        brokenOff += 1;
        if (error.code === 'UNAVAILABLE' && brokenOff < BROKEN_OFF_MAX) continue;
        return withoutService(steps, error);
      }
      await comeBack(error, error.retryAfterMs, untilMs, signal);
      continue;
    }
    brokenOff = 0;
    const waitedMs = performance.now() - askedMs;
    if (outcome.kind === 'hit') {
      if (waitedMs >= WAITED_MS_MIN) tell(hooks.onWait, { namespace, key, waitedMs, answered: true });
      return served(steps, outcome);
    }
    if (outcome.kind === 'lease') {
      const rebuilt = await underLease(steps, outcome);
      if (rebuilt.kind === 'value') return rebuilt.value;
      // A key that is invalidated faster than it is rebuilt must not hold its caller for ever.
      if (performance.now() >= untilMs) throw rebuilt.error;
      continue;
    }
    tell(hooks.onWait, { namespace, key, waitedMs, answered: outcome.kind === 'failed' });
    if (outcome.kind === 'failed') throw new RebuildFailedError(outcome.message, outcome.retryAfterMs);
    await comeBack(busyError(outcome), endsHere(outcome) ? undefined : outcome.retryAfterMs, untilMs, signal);
  }
}

function ask({ calls, namespace, key, options, signal }: FetchLoop, requestId: string, leftMs: number) {
  const { leaseMs, stale, read, refresh, traceparent, waitMs } = options;
  const wholeMs = Math.max(0, Math.floor(leftMs));
  return calls.getOrLock(
    {
      ...{ namespace, key, leaseMs, stale, read, requestId },
      intent: refresh === true ? 'refresh' : 'rebuild',
      // Where the caller names no wait, the deadline bounds it, and the service's own maximum.
      waitMs: waitMs === undefined ? undefined : wholeMs,
    },
    // Whoever has left must not stand in the service's queue, nor be given the lease.
    { deadlineMs: wholeMs + WAY_MS, traceparent, signal },
  );
}

function served({ hooks, namespace, key }: FetchLoop, { value, freshness }: Hit): Buffer | null {
  tell(hooks.onHit, { namespace, key, freshness });
  return value;
}

/** Waiting on is no use where the service said that the rebuild takes longer than the wait. */
function endsHere({ reason }: Busy): boolean {
  return reason === 'deadline_too_short' || reason === 'no_value';
}

function busyError({ reason, retryAfterMs, holderAgeMs }: Busy): DibsBusyError {
  return new DibsBusyError(reason, retryAfterMs, holderAgeMs);
}

/** Pauses as the service asked; throws `error` where it did not, or where the caller's time is over by then. */
async function comeBack(
  error: DibsError | DibsBusyError,
  afterMs: number | undefined,
  untilMs: number,
  signal: AbortSignal,
): Promise<void> {
  if (afterMs === undefined) throw error;
  const pauseMs = Math.max(afterMs, PAUSE_MS_MIN * (1 + Math.random()));
  if (performance.now() + pauseMs >= untilMs) throw error;
  await pause(pauseMs, signal);
}

async function underLease(steps: FetchLoop, lease: Lease) {
  const { calls, hooks, namespace, key, rebuild, options, signal } = steps;
  const { ttlMs, staleMs, leaseMs, traceparent, absentTtlMs = ttlMs, tags = [] } = options;
  const rebuilding = rebuildUnderLease(calls, {
    ...{ namespace, key, lease, rebuild, leaseMs, ttlMs, absentTtlMs, staleMs, tags, traceparent, hooks },
    held: steps.held,
    // What goes on in the background is nobody's wait, and ends by itself.
    signal: mayGoOn(steps, lease) ? undefined : signal,
  });
  if (lease.previous === undefined || !mayGoOn(steps, lease)) return rebuilding;
  rebuilding.catch((error) => tell(hooks.onBackgroundError, { namespace, key, error }));
  return { kind: 'value' as const, value: served(steps, lease.previous) };
}

/** There is something to serve meanwhile, and the caller does not insist on the newest. */
function mayGoOn({ options }: FetchLoop, { previous }: Lease): boolean {
  return previous !== undefined && options.refresh !== true && options.revalidate !== 'await';
}

/** The service cannot be reached: one rebuild at a time in this process, or the error. */
function withoutService(steps: FetchLoop, cause: DibsError): Promise<Uint8Array | null> {
  const { namespace, key, hooks, rebuild, onUnavailable, local, signal } = steps;
  if (onUnavailable === 'fail') return Promise.reject(cause);
  return local.join(
    `${namespace}\0${key}`,
    (all) => {
      tell(hooks.onLocalRebuild, { namespace, key, cause });
      return rebuild({ signal: all, fence: 0, reason: 'local', previous: undefined });
    },
    signal,
  );
}
