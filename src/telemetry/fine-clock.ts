/** Where a machine's times come from; the defaults are this process's. */
export interface TimeSources {
  /** Whole milliseconds since 1970, rounded down. */
  wallMs(): number;
  /** Milliseconds and their fractions, from any beginning; it never steps. */
  steadyMs(): number;
}

const SYSTEM: TimeSources = { wallMs: () => Date.now(), steadyMs: () => performance.now() };

/**
 * The wall clock in fractions of a millisecond, which JavaScript does not have. With whole milliseconds, a child seems
 * to outlast its parent, or to begin before it, and viewers of traces warn of clocks that differ.
 *
 * The steady clock is ahead of the wall clock by an amount that each reading narrows down: the wall clock's millisecond
 * has begun, and is not over. A wall clock that is set, or that drifts, moves the amount.
 */
export class FineClock {
  #aheadMs: number;

  constructor(private readonly sources: TimeSources = SYSTEM) {
    this.#aheadMs = sources.wallMs() - sources.steadyMs();
  }

  /** Milliseconds since 1970, with fractions. */
  nowMs(): number {
    const wallMs = this.sources.wallMs();
    const steadyMs = this.sources.steadyMs();
    // The steady clock is read later, by less than the millisecond that is allowed for here.
    this.#aheadMs = Math.min(Math.max(this.#aheadMs, wallMs - steadyMs), wallMs + 1 - steadyMs);
    return steadyMs + this.#aheadMs;
  }
}
