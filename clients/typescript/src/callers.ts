import { type Clock, SYSTEM_CLOCK } from './clock.js';
import { DibsBusyError, DibsError } from './errors.js';
import { LightSignal, type SignalLike } from './light-signal.js';

/** When one caller stops waiting. */
export interface Bounds {
  readonly signal: SignalLike | undefined;
  /** The end of its wait, by this process's clock; undefined for a caller without a bound. */
  readonly untilMs?: number | undefined;
  /** Calls its argument when the wait must end in time; at once if this is absent. */
  readonly bound?: (begin: () => void) => void;
  /** How long the work has run, in milliseconds. */
  readonly workedMs?: () => number;
}

/** When a caller whose wait has ended should retry, at least and at most. */
const RETRY_AFTER_MS = { min: 20, max: 1_000 };

/** One caller, until it has the result or has left. */
interface Waiter {
  resolve(value: never): void;
  reject(error: unknown): void;
}

/** The callers that wait for one piece of work. The work is aborted when all of them have left. */
export class Callers {
  /** Aborted when all of them have left. */
  readonly signal = new LightSignal();
  #count = 0;
  /** Of each result. A promise keeps all that ever waited for it, and a rebuild may take minutes. */
  readonly #waiters = new WeakMap<Promise<unknown>, Set<Waiter>>();

  /** Calls `emptied` before the work is aborted, so that no caller joins work that is about to end. */
  constructor(
    private readonly emptied: () => void = () => {},
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {}

  /** Whether the work has had more than one caller. */
  shared = false;

  /** Waits for `result` as one of the callers, at most until its own signal or the end of its own wait. */
  wait<T>(result: Promise<T>, { signal, untilMs, bound, workedMs = () => 0 }: Bounds): Promise<T> {
    if (signal?.aborted) return Promise.reject(goneBy(signal));
    if (this.#count > 0) this.shared = true;
    this.#count += 1;
    if (signal === undefined && untilMs === undefined) return result;
    const waiters = this.#waitersOf(result);
    return new Promise((resolve, reject) => {
      let cancel = () => {};
      let waits = true;
      const over = () => {
        waits = false;
        cancel();
        signal?.removeEventListener('abort', aborted);
        waiters.delete(waiter);
      };
      const waiter: Waiter = {
        resolve: (value) => {
          over();
          resolve(value);
        },
        reject: (error) => {
          over();
          reject(error);
        },
      };
      const leave = (reason: unknown) => {
        waiter.reject(reason);
        this.leave(reason);
      };
      const aborted = () => leave(goneBy(signal));
      const begin = () => {
        if (!waits || untilMs === undefined) return;
        const leftMs = Math.max(0, untilMs - this.clock.nowMs());
        cancel = this.clock.after(leftMs, () => leave(waitEnded(workedMs())));
      };
      waiters.add(waiter);
      signal?.addEventListener('abort', aborted, { once: true });
      if (bound === undefined) begin();
      else bound(begin);
    });
  }

  #waitersOf(result: Promise<unknown>): Set<Waiter> {
    const known = this.#waiters.get(result);
    if (known !== undefined) return known;
    const waiters = new Set<Waiter>();
    this.#waiters.set(result, waiters);
    const end = (tell: (waiter: Waiter) => void) => {
      // A later caller waits on its own.
      this.#waiters.delete(result);
      for (const waiter of waiters) tell(waiter);
    };
    result.then(
      (value) => end((waiter) => waiter.resolve(value as never)),
      (error) => end((waiter) => waiter.reject(error)),
    );
    return waiters;
  }

  /** One caller no longer waits for the work. */
  leave(reason: unknown): void {
    this.#count -= 1;
    if (this.#count > 0) return;
    this.emptied();
    this.signal.abort(reason);
  }
}

/** The same error that the service gives to callers of other processes. */
export function waitEnded(holderAgeMs: number): DibsBusyError {
  const ageMs = Math.round(holderAgeMs);
  const retryAfterMs = Math.min(RETRY_AFTER_MS.max, Math.max(RETRY_AFTER_MS.min, ageMs));
  return new DibsBusyError('wait_ended', retryAfterMs, ageMs);
}

function goneBy(signal: SignalLike | undefined): unknown {
  return signal?.reason ?? new DibsError('CANCELLED', 'the caller has left');
}
