import type { Clock } from '../ports/clock.js';
import type { Observer } from '../ports/observer.js';
import type { UndecidedBy } from '../words/outcome.js';

/** The part of an attempt that matters here. */
export type AttemptEnd =
  | { readonly kind: 'undecided'; readonly by: UndecidedBy }
  | { readonly kind: 'granted' | 'held' | 'read_again' | 'abandoned' | 'held_back' };

/** Fewer are bad luck: votes may be split, and another replica may be quicker. */
export const ATTEMPTS_MIN = 5;
export const UNDECIDED_MS_MIN = 10_000;
/** After this long without an attempt, nothing is known: the callers have left. */
export const KNOWN_MS_MAX = 60_000;
/** How many keys' fences are remembered. A decision for any of them ends the indecision. */
const KEYS_MAX = 100;

/**
 * Detects that this replica has decided nothing for a while: attempt after attempt ends undecided, for any key, and
 * neither this replica nor another one grants a lease of the same keys. Single undecided attempts are normal.
 */
export class Indecision {
  /** The fence of each key whose attempt ended undecided. A higher fence later means that a lease was granted since. */
  readonly #fences = new Map<string, number>();
  #attempts = 0;
  #sinceMs = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #isTold = false;

  constructor(
    private readonly clock: Clock,
    private readonly observer: Pick<Observer, 'undecided'>,
  ) {}

  get lasts(): boolean {
    return this.#isTold && this.clock.nowMs() - this.#lastMs < KNOWN_MS_MAX;
  }

  /** The record of a key was read. */
  seen(id: string, fence: number): void {
    if (this.#attempts > 0 && fence > (this.#fences.get(id) ?? Number.POSITIVE_INFINITY)) this.#decided();
  }

  /** An attempt at the lease of a key has ended. `fence` is that of the record that it began with. */
  attempted(id: string, fence: number, attempt: AttemptEnd): void {
    if (attempt.kind === 'undecided') this.#undecided(id, fence, attempt.by);
    else if (attempt.kind === 'granted' || attempt.kind === 'held' || attempt.kind === 'read_again') {
      this.#decided();
    }
  }

  #undecided(id: string, fence: number, by: UndecidedBy): void {
    const nowMs = this.clock.nowMs();
    // Attempts from long ago do not count.
    if (nowMs - this.#lastMs >= KNOWN_MS_MAX) this.#forget();
    if (this.#attempts === 0) this.#sinceMs = nowMs;
    this.#attempts += 1;
    this.#lastMs = nowMs;
    if (this.#fences.size < KEYS_MAX || this.#fences.has(id)) this.#fences.set(id, fence);
    const lastedMs = nowMs - this.#sinceMs;
    if (this.#isTold || this.#attempts < ATTEMPTS_MIN || lastedMs < UNDECIDED_MS_MIN) return;
    this.#isTold = true;
    this.observer.undecided(true, lastedMs, by);
  }

  #decided(): void {
    if (this.#isTold) this.observer.undecided(false, this.clock.nowMs() - this.#sinceMs);
    this.#isTold = false;
    if (this.#attempts > 0) this.#forget();
  }

  #forget(): void {
    this.#attempts = 0;
    this.#fences.clear();
  }
}
