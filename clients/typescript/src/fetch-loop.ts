import type { Availability } from './availability.js';
import type { Background } from './background.js';
import { Callers } from './callers.js';
import { type Calls, WAY_MS } from './calls.js';
import type { Chance } from './chance.js';
import { countHit, countLocalRebuild, recordWait } from './client-metrics.js';
import type { Clock } from './clock.js';
import type { Reads } from './codec.js';
import { DibsBusyError, DibsError, isAnswer, isUnreachable, RebuildFailedError } from './errors.js';
import type { Flight, Flights } from './flights.js';
import type { HeldLeases } from './held-leases.js';
import { type Hooks, tell } from './hooks.js';
import type { SignalLike } from './light-signal.js';
import type { LocalRebuilds } from './local-rebuilds.js';
import type { NearCache } from './near-cache.js';
import { TTL_MS_MAX, wholeMs } from './numbers.js';
import type { RebuildOptions } from './options.js';
import type { Busy, GetOrLockOutcome, Hit, Lease } from './outcomes.js';
import { pause } from './pause.js';
import { type Made, type RebuildBytes, rebuildUnderLease } from './rebuild.js';
import { RebuildSpan } from './rebuild-span.js';
import type { RunningRebuilds } from './running-rebuilds.js';

/** The result of a fetch. */
export interface Fetched {
  /** null if the source has nothing. */
  readonly bytes: Uint8Array | null;
  /** This process has just rebuilt it. */
  readonly isOwn: boolean;
  readonly freshness: 'fresh' | 'stale';
}

/** What all calls of a client share. */
export interface FetchParts {
  readonly calls: Calls;
  readonly hooks: Hooks;
  readonly held: HeldLeases;
  readonly running: RunningRebuilds;
  readonly flights: Flights<Fetched>;
  readonly local: LocalRebuilds;
  readonly background: Background;
  readonly availability: Availability;
  readonly near: NearCache | undefined;
  readonly leaseHoldMaxMs: number;
  readonly clock: Clock;
  readonly chance: Chance;
  /** The longest wait to ask of the service. A longer one is asked for in pieces. */
  waitMsMax: number;
}

/** What one fetch loop needs: the request, its callers and the shared parts. */
export interface FetchLoop {
  readonly parts: FetchParts;
  readonly namespace: string;
  readonly key: string;
  readonly rebuild: RebuildBytes;
  readonly options: Omit<RebuildOptions, 'signal'>;
  readonly onUnavailable: 'rebuild' | 'fail';
  readonly flight: Flight<Fetched>;
  /** When its callers stop waiting for other callers' rebuilds. */
  readonly untilMs: number;
  /** `read` gets no lease. Default: according to the options. */
  readonly intent?: 'read';
  /** Its first answer, which was requested together with those of other keys, under this request id. */
  readonly first?: FirstAnswer;
  /** Replaces the rebuild under the lease. */
  readonly onLease?: (lease: Lease) => Promise<void>;
  /** It replaces a value that its codec could not read. Whether the codec can read another one. */
  readonly reads?: Reads | undefined;
}

export interface FirstAnswer {
  readonly requestId: string;
  readonly outcome: Promise<GetOrLockOutcome>;
}

/** A shorter wait does not count as one: it is the answer's way over the network. */
const WAITED_MS_MIN = 10;
/** Every service accepts a wait of this length unless it says otherwise. */
export const WAIT_MS_ASKED_MAX = 30_000;
/** The shortest pause between two requests, however soon the service allows a retry. */
export const PAUSE_MS_MIN = 10;

/**
 * How often in a row the service may break off a call before it counts as unreachable. A replica that was killed ends
 * its calls like this, and the next attempt reaches another one. If there is none, it fails within milliseconds.
 */
const BROKEN_OFF_MAX = 2;

/** Repeats GetOrLock until there is a value, a failure, or no time left. Rebuilds if it gets a lease. */
export async function fetchLoop(steps: FetchLoop): Promise<Fetched> {
  const { parts, untilMs, flight } = steps;
  const { availability, clock, chance } = parts;
  const { signal } = flight.callers;
  // The same for every attempt, so that a lease whose answer was lost is granted again.
  let requestId = steps.first?.requestId ?? chance.requestId();
  let first = steps.first?.outcome;
  // The first answer was already retried if that made sense.
  let brokenOff = first === undefined ? 0 : BROKEN_OFF_MAX - 1;
  for (;;) {
    signal.throwIfAborted();
    const askedMs = clock.nowMs();
    const inPieces = untilMs - askedMs > parts.waitMsMax;
    let outcome: GetOrLockOutcome;
    try {
      const asking = first ?? ask(steps, requestId, untilMs - askedMs, inPieces);
      first = undefined;
      outcome = await asking;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof DibsError)) throw error;
      if (isUnreachable(error)) {
        brokenOff += 1;
        if (error.code === 'UNAVAILABLE' && brokenOff < BROKEN_OFF_MAX) continue;
        return withoutService(steps, error);
      }
      // A failing token function, for example, says nothing about the service.
      if (isAnswer(error)) availability.answered();
      const waitMsMax = longestWaitMs(error);
      if (waitMsMax !== undefined && !inPieces && untilMs - askedMs > waitMsMax) {
        parts.waitMsMax = waitMsMax;
        continue;
      }
      await waitToRetry(parts, error, error.retryAfterMs, untilMs, signal);
      continue;
    }
    availability.answered();
    brokenOff = 0;
    const waitedMs = clock.nowMs() - askedMs;
    if (outcome.kind === 'hit') {
      if (waitedMs >= WAITED_MS_MIN) waited(steps, waitedMs, true);
      return served(steps, outcome);
    }
    if (outcome.kind === 'lease') {
      flight.leased();
      if (steps.onLease !== undefined) {
        await steps.onLease(outcome);
        return { bytes: null, isOwn: true, freshness: 'fresh' };
      }
      const rebuilt = await underLease(steps, outcome, askedMs);
      if (rebuilt.kind === 'value') return { bytes: rebuilt.value, isOwn: true, freshness: 'fresh' };
      if (rebuilt.kind === 'served') return rebuilt.fetched;
      // A key that is invalidated faster than it is rebuilt must not hold its caller forever.
      if (clock.nowMs() >= untilMs) throw rebuilt.error;
      // So that it does not get the lease back that it gave up.
      requestId = chance.requestId();
      continue;
    }
    // A read that finds nothing has waited for no rebuild.
    if (steps.intent !== 'read' || waitedMs >= WAITED_MS_MIN)
      waited(steps, waitedMs, outcome.kind === 'failed');
    if (outcome.kind === 'failed') throw new RebuildFailedError(outcome.message, outcome.retryAfterMs);
    const isSaid = steps.options.waitMs !== undefined && !inPieces;
    const afterMs = askedAgainAfterMs(outcome, isSaid, inPieces);
    await waitToRetry(parts, busyError(outcome), afterMs, untilMs, signal);
  }
}

function ask(
  { parts, namespace, key, options, flight, intent }: FetchLoop,
  requestId: string,
  leftMs: number,
  inPieces: boolean,
) {
  const { leaseMs, stale, read, refresh, traceparent, waitMs } = options;
  const wholeMs = Math.max(0, Math.floor(leftMs));
  return parts.calls.getOrLock(
    {
      namespace,
      key,
      leaseMs,
      stale,
      read,
      requestId,
      intent: intent ?? (refresh === true ? 'refresh' : 'rebuild'),
      // Without a wait of its own, the deadline and the service's maximum bound it. The same holds for a piece.
      waitMs: waitMs === undefined || inPieces ? undefined : wholeMs,
    },
    // A caller that has left must not stay in the service's queue, nor get the lease.
    { deadlineMs: wholeMs + WAY_MS, traceparent, signal: flight.callers.signal },
  );
}

/** The longest wait that the service accepts, from its error: `wait_ms: 20000 is outside 0 to 500`. */
function longestWaitMs({ code, message }: DibsError): number | undefined {
  const [, max] = /^wait_ms: .* to (\d+)/.exec(code === 'INVALID_ARGUMENT' ? message : '') ?? [];
  return max === undefined ? undefined : Number(max);
}

function served({ parts, namespace, key }: FetchLoop, { value, freshness }: Hit): Fetched {
  tell(parts.hooks.onHit, { namespace, key, freshness, source: 'service' });
  countHit('service', freshness, namespace);
  return { bytes: value, isOwn: false, freshness };
}

function waited({ parts, namespace, key }: FetchLoop, waitedMs: number, answered: boolean): void {
  tell(parts.hooks.onWait, { namespace, key, waitedMs, answered });
  recordWait(waitedMs, namespace);
}

/**
 * Undefined if waiting longer makes no sense: there is nothing to wait for, or the rebuild takes longer than the wait. If
 * no wait was sent (`isSaid`), it may just take longer than the service's longest.
 */
function askedAgainAfterMs(
  { reason, retryAfterMs }: Busy,
  isSaid: boolean,
  inPieces: boolean,
): number | undefined {
  if (reason === 'no_value' || (reason === 'deadline_too_short' && isSaid)) return undefined;
  return reason === 'wait_ended' && inPieces ? 0 : retryAfterMs;
}

function busyError({ reason, retryAfterMs, holderAgeMs }: Busy): DibsBusyError {
  return new DibsBusyError(reason, retryAfterMs, holderAgeMs);
}

/** Pauses as the service asked. Throws `error` if it did not ask, or if the caller's time is over by then. */
async function waitToRetry(
  { clock, chance }: FetchParts,
  error: DibsError | DibsBusyError,
  afterMs: number | undefined,
  untilMs: number,
  signal: SignalLike,
): Promise<void> {
  if (afterMs === undefined) throw error;
  const pauseMs = Math.max(afterMs, PAUSE_MS_MIN * (1 + chance.fraction()));
  if (clock.nowMs() + pauseMs >= untilMs) throw error;
  await pause(clock, pauseMs, signal);
}

async function underLease(steps: FetchLoop, lease: Lease, sentMs: number) {
  const { parts, namespace, key, rebuild, options, flight } = steps;
  const { hooks, held, background, leaseHoldMaxMs, clock, chance } = parts;
  const { ttlMs, staleMs, leaseMs, traceparent, absentTtlMs = ttlMs, tags = [] } = options;
  const failedBehind = (error: unknown) => tell(hooks.onBackgroundError, { namespace, key, error });
  const previous = servable(steps, lease.previous);
  if (steps.reads !== undefined && previous?.freshness === 'fresh') {
    // Another caller has replaced what could not be read while this one waited for its turn.
    const released = parts.calls.release({ namespace, key, token: lease.token }, { traceparent });
    background.add(released.catch(failedBehind));
    return { kind: 'served' as const, fetched: served(steps, previous) };
  }
  const goesOn = previous !== undefined && options.refresh !== true && options.revalidate !== 'await';
  // Background work delays no caller, and ends by itself.
  const callers = goesOn ? new Callers(undefined, clock) : flight.callers;
  const isRefresh = lease.reason === 'refresh' || lease.reason === 'early_refresh';
  const hasPrevious = lease.previous !== undefined;
  const running = parts.running.begin(
    { namespace, key, hasPrevious, stale: options.stale, isRefresh },
    callers,
  );
  const { reason, fence } = lease;
  // Written out: a spread would make it a table of names, which takes five times the memory.
  const rebuilding = rebuildUnderLease(parts.calls, {
    namespace,
    key,
    lease,
    sentMs,
    rebuild,
    leaseMs,
    ttlMs,
    absentTtlMs,
    staleMs,
    tags,
    span: new RebuildSpan({ namespace, reason, fence }, traceparent),
    hooks,
    held,
    background,
    running,
    leaseHoldMaxMs,
    clock,
    chance,
    signal: goesOn ? undefined : callers.signal,
    published: () => published(steps),
  });
  if (goesOn) {
    background.add(rebuilding.catch(failedBehind));
    return { kind: 'served' as const, fetched: served(steps, previous) };
  }
  if (previous === undefined || options.staleIfError !== true) return rebuilding;
  return rebuilding.catch((error) => {
    flight.callers.signal.throwIfAborted();
    failedBehind(error);
    return { kind: 'served' as const, fetched: served(steps, previous) };
  });
}

/** Not the value that cannot be read: its error would hide that of the rebuild. */
function servable({ reads }: FetchLoop, previous: Hit | undefined): Hit | undefined {
  return previous !== undefined && reads?.(previous.value) === false ? undefined : previous;
}

/**
 * A value of this process may be stored, and a process reads its own writes. The event of a session may come later, or
 * not at all if that breaks.
 */
function published({ parts: { near, flights }, namespace, key }: FetchLoop): void {
  // Without a near cache, there is no copy, and no request is joined after it was sent.
  if (near === undefined) return;
  const change = { namespace, keys: [key], tags: [], all: false };
  near.changed(change);
  flights.changed(change);
}

/** A rebuild may set anything. With a TTL that no value can have, its value is not kept. */
function keptMs(ttlMs: number): number {
  try {
    return wholeMs('ttlMs', ttlMs, 1, TTL_MS_MAX);
  } catch {
    return 0;
  }
}

/**
 * The service cannot be reached: returns what is known here, or runs one rebuild at a time in this process, or throws.
 */
async function withoutService(steps: FetchLoop, cause: DibsError): Promise<Fetched> {
  const { parts, namespace, key, rebuild, options, onUnavailable, flight, untilMs } = steps;
  const { hooks, local, near } = parts;
  parts.availability.unavailable(cause);
  const mayShare = options.refresh !== true && options.read !== 'store';
  const old = mayShare && options.stale !== 'forbid' ? near?.left(namespace, key) : undefined;
  // What was rebuilt here since then is newer.
  if (old !== undefined && !(onUnavailable === 'rebuild' && local.has(namespace, key))) {
    tell(hooks.onHit, { namespace, key, freshness: 'stale', source: 'near' });
    countHit('near', 'stale', namespace);
    return { bytes: old && Buffer.from(old), isOwn: false, freshness: 'stale' };
  }
  if (onUnavailable === 'fail') throw cause;
  const { ttlMs, absentTtlMs = ttlMs } = options;
  const ttlMsOf = ({ bytes, how }: Made) => keptMs(how.ttlMs ?? (bytes === null ? absentTtlMs : ttlMs));
  const { signal } = flight.callers;
  const { bytes } = await local.get({ namespace, key, signal, untilMs, mayShare, ttlMsOf }, (all) => {
    flight.leased();
    tell(hooks.onLocalRebuild, { namespace, key, cause });
    countLocalRebuild(namespace);
    return rebuild({
      get signal() {
        return all.real;
      },
      fence: 0,
      reason: 'local',
      previous: undefined,
    });
  });
  // A copy, because the kept value goes to other callers too.
  return { bytes: bytes && Buffer.from(bytes), isOwn: true, freshness: 'fresh' };
}
