import { waitEnded } from './callers.js';
import type { Changes } from './changes.js';
import { countHit } from './client-metrics.js';
import type { Reads } from './codec.js';
import { DibsBusyError, DibsError, LeaseLostError, RebuildFailedError } from './errors.js';
import { type Fetched, type FetchLoop, type FetchParts, fetchLoop, PAUSE_MS_MIN } from './fetch-loop.js';
import type { Flight, FlightTerms } from './flights.js';
import { DEFAULT_WAIT_MS, type GetOptions, type RebuildOptions } from './options.js';
import { pause } from './pause.js';
import type { RebuildBytes } from './rebuild.js';
import type { RebuildFacts } from './running-rebuilds.js';

/** Names calls of callers that had no answer from the call that they joined, and calls that replace a value. */
const AGAIN = 'again';
const ANEW = 'anew';

/** One call of getOrRebuild. */
export interface FetchCall {
  readonly namespace: string;
  readonly key: string;
  readonly rebuild: RebuildBytes;
  readonly options: RebuildOptions;
  readonly onUnavailable: 'rebuild' | 'fail';
  /** It replaces a value that its codec could not read. Whether the codec can read another one. */
  readonly reads?: Reads;
}

/** One call of get. */
export interface FindCall {
  readonly namespace: string;
  readonly key: string;
  readonly options: GetOptions;
}

/** The result of a fetch for one caller. */
export interface Taken extends Fetched {
  /** Other callers have the same bytes. */
  readonly isShared: boolean;
  /** The end of the caller's wait. */
  readonly untilMs: number;
}

/** Asks the service, or joins callers of this process that already do. */
export class Fetcher {
  constructor(
    private readonly parts: FetchParts,
    changes: Changes,
  ) {
    for (const holder of [parts.flights, parts.running, parts.local]) changes.tell(holder);
  }

  fetch(call: FetchCall): Promise<Taken> {
    return this.#fetch(call, this.#untilMs(call), '');
  }

  async #fetch(call: FetchCall, untilMs: number, first: string): Promise<Taken> {
    const { namespace, key, options, reads } = call;
    const { signal } = options;
    if (reads === undefined ? !mayJoin(options) : options.read === 'store') {
      return this.#ask(call, untilMs, reads === undefined ? undefined : ANEW);
    }
    for (let name = first; ; name = againOf(call)) {
      signal?.throwIfAborted();
      const running = this.parts.running.of(namespace, key);
      if (running === undefined || (reads === undefined && mayHaveAtOnce(running.of, options))) {
        return this.#ask(call, untilMs, name);
      }
      const shared = await running.join(signal, untilMs);
      if (shared.kind === 'value') {
        countHit('joined', 'fresh', namespace);
        return { bytes: shared.value, isOwn: false, freshness: 'fresh', isShared: true, untilMs };
      }
      if (shared.kind === 'failure') throw shared.error;
      if (this.parts.clock.nowMs() >= untilMs) throw waitEnded(0);
    }
  }

  /**
   * Rebuilds a value that the codec cannot read. Callers of one turn of the event loop share it, and later ones join the
   * rebuild. `untilMs` is the end of a wait that began before.
   */
  refetch(call: FetchCall, reads: Reads, untilMs = this.#untilMs(call)): Promise<Taken> {
    return this.#fetch({ ...call, reads, options: { ...call.options, refresh: true } }, untilMs, ANEW);
  }

  /** What is cached; undefined if nothing is. Never rebuilds. */
  async find(call: FindCall): Promise<Fetched | undefined> {
    // No TTL, because nothing is stored.
    const options = { ttlMs: 0, ...call.options, waitMs: call.options.waitMs ?? 0 };
    try {
      return await this.alone(
        { ...call, options, rebuild: never, onUnavailable: 'fail' },
        { intent: 'read' },
      );
    } catch (error) {
      if (error instanceof DibsBusyError || error instanceof RebuildFailedError) return undefined;
      throw error;
    }
  }

  /** A separate call, which no other call joins before it has a lease. */
  alone(call: FetchCall, how: Pick<FetchLoop, 'intent' | 'first' | 'onLease'>): Promise<Fetched> {
    const { namespace, key, options } = call;
    const { signal, ...rest } = options;
    const untilMs = this.#untilMs(call);
    return this.parts.flights.alone(
      { id: '', namespace, key, signal, untilMs },
      (flight) => fetchLoop({ ...call, ...how, parts: this.parts, options: rest, flight, untilMs }),
      () => {},
    );
  }

  /** The end of a wait that begins now. */
  #untilMs({ options }: FetchCall): number {
    return this.parts.clock.nowMs() + (options.waitMs ?? DEFAULT_WAIT_MS);
  }

  /** Asks as a call that others may join under `name`, or separately without a name. */
  async #ask(call: FetchCall, untilMs: number, name: string | undefined): Promise<Taken> {
    const { namespace, key, rebuild, options, onUnavailable, reads } = call;
    const { signal } = options;
    let joined: Flight<Fetched> | undefined;
    let isFirst = false;
    const start = (flight: Flight<Fetched>) => {
      isFirst = true;
      const { parts } = this;
      return fetchLoop({ parts, namespace, key, rebuild, options, onUnavailable, reads, flight, untilMs });
    };
    const seen = (flight: Flight<Fetched>) => {
      joined = flight;
    };
    const id = name === undefined ? '' : idOf(call, name);
    const isShort = reads !== undefined;
    const terms: FlightTerms = { id, namespace, key, signal, untilMs, isShort };
    let fetched: Fetched;
    try {
      fetched = await (name === undefined
        ? this.parts.flights.alone(terms, start, seen)
        : this.parts.flights.join(terms, start, seen));
    } catch (error) {
      const pauseMs = isFirst ? undefined : this.#goesOnAfterMs(error, untilMs, joined?.terms.untilMs);
      if (pauseMs === undefined) throw error;
      await pause(this.parts.clock, pauseMs, signal);
      return this.#fetch(call, untilMs, againOf(call));
    }
    if (!isFirst) countHit('joined', fetched.freshness, namespace);
    const { bytes, isOwn, freshness } = fetched;
    return { bytes, isOwn, freshness, isShared: joined?.callers.shared === true, untilMs };
  }

  /**
   * The wait that was too short may be that of the caller that this one joined. How long to pause until it asks for
   * itself, in milliseconds; undefined if its own wait is too short as well, or if this error is for all callers.
   */
  #goesOnAfterMs(error: unknown, untilMs: number, flightUntilMs = untilMs): number | undefined {
    if (untilMs <= flightUntilMs) return undefined;
    const afterMs = retriedAfterMs(error);
    if (afterMs === undefined) return undefined;
    const pauseMs = Math.max(PAUSE_MS_MIN, afterMs);
    return untilMs - this.parts.clock.nowMs() > pauseMs ? pauseMs : undefined;
  }
}

/** When a caller with more time would ask again, in milliseconds; undefined if it would not. */
function retriedAfterMs(error: unknown): number | undefined {
  if (error instanceof DibsBusyError) return error.reason === 'wait_ended' ? 0 : error.retryAfterMs;
  if (error instanceof LeaseLostError) return 0;
  return error instanceof DibsError ? error.retryAfterMs : undefined;
}

/** The rebuild of a call without one. */
export const never = () => Promise.reject(new Error('this call has no rebuild'));

/**
 * A caller that reads the store or refreshes needs something newer than its call, not the result of an earlier read.
 */
export function mayJoin({ read, refresh }: Pick<RebuildOptions, 'read' | 'refresh'>): boolean {
  return read !== 'store' && refresh !== true;
}

function againOf({ reads }: FetchCall): string {
  return reads === undefined ? AGAIN : ANEW;
}

/**
 * Whether the service may have a value for this caller, who then need not wait for the rebuild: a fresh one beside a
 * refresh, or a stale one. If the holder has another option for stale values, its lease does not say whether there is
 * one.
 */
function mayHaveAtOnce(of: RebuildFacts, { stale, revalidate }: RebuildOptions): boolean {
  if (of.isRefresh) return true;
  if (stale === 'forbid' || revalidate === 'await') return false;
  return of.hasPrevious || (of.stale !== 'allow' && of.stale !== stale);
}

/** Calls that agree in these get the same answer, so one of them asks for all. */
function idOf({ namespace, key, options, onUnavailable }: FetchCall, name: string): string {
  const { stale = '', revalidate = '', waitMs = '', staleIfError = '' } = options;
  return [name, namespace, key, stale, revalidate, waitMs, staleIfError, onUnavailable].join('\0');
}
