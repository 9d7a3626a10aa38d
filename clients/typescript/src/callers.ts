import { type Clock, SYSTEM_CLOCK } from './clock.js';
import { DibsBusyError, DibsError } from './errors.js';

/** When one caller stops waiting. */
export interface Bounds {
  readonly signal: AbortSignal | undefined;
  /** The end of its wait, by this process's clock; undefined for a caller that waits as long as it takes. */
  readonly untilMs?: number | undefined;
  /** Calls what it is given once the wait is to end in time; at once where there is no such function. */
  readonly bound?: (begin: () => void) => void;
  /** How long the work has run, in milliseconds. */
  readonly workedMs?: () => number;
}

/** Until a caller whose wait has ended comes back, at the least and at the most. */
const COME_BACK_MS = { min: 20, max: 1_000 };

/** The callers that wait for one piece of work. The work is aborted when all of them have left. */
export class Callers {
  readonly #abort = new AbortController();
  #count = 0;

  /** `emptied` is called before the work is aborted, so that no one joins what is about to end. */
  constructor(
    private readonly emptied: () => void = () => {},
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {}

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Whether the work has had more than one of them. */
  shared = false;

  /** Waits for `result` as one of the callers: at most until its own signal or its own wait ends. */
  wait<T>(result: Promise<T>, { signal, untilMs, bound, workedMs = () => 0 }: Bounds): Promise<T> {
    if (signal?.aborted) return Promise.reject(goneBy(signal));
    if (this.#count > 0) this.shared = true;
    this.#count += 1;
    if (signal === undefined && untilMs === undefined) return result;
    return new Promise((resolve, reject) => {
      let cancel = () => {};
      let waits = true;
      const over = () => {
        waits = false;
        cancel();
        signal?.removeEventListener('abort', aborted);
      };
      const leave = (reason: unknown) => {
        over();
        reject(reason);
        this.#left(reason);
      };
      const aborted = () => leave(goneBy(signal));
      const begin = () => {
        if (!waits || untilMs === undefined) return;
        const leftMs = Math.max(0, untilMs - this.clock.nowMs());
        cancel = this.clock.after(leftMs, () => leave(waitEnded(workedMs())));
      };
      signal?.addEventListener('abort', aborted, { once: true });
      if (bound === undefined) begin();
      else bound(begin);
      result.then(resolve, reject).finally(over);
    });
  }

  #left(reason: unknown): void {
    this.#count -= 1;
    if (this.#count > 0) return;
    this.emptied();
    this.#abort.abort(reason);
  }
}

/** As the service says it to callers of other processes. */
export function waitEnded(holderAgeMs: number): DibsBusyError {
  const ageMs = Math.round(holderAgeMs);
  const retryAfterMs = Math.min(COME_BACK_MS.max, Math.max(COME_BACK_MS.min, ageMs));
  return new DibsBusyError('wait_ended', retryAfterMs, ageMs);
}

function goneBy(signal: AbortSignal | undefined): unknown {
  return signal?.reason ?? new DibsError('CANCELLED', 'the caller has left');
}
