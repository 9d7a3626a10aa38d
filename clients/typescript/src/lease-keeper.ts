import { type Clock, SYSTEM_CLOCK } from './clock.js';
import type { DibsError } from './errors.js';
import type { ExtendOutcome } from './outcomes.js';

const THIRD_MS_MIN = 5;
/** What an extension may take where the lease leaves it the time: a try that hangs must not cost the next ones. */
const EXTEND_MS = 2_000;

/** Extends one lease; rejects with a {@link DibsError}, also when it is not answered within `deadlineMs`. */
export type Extend = (deadlineMs: number) => Promise<{ outcome: ExtendOutcome; expiresInMs: number }>;

/**
 * Keeps a lease while its rebuild runs: extends it every third of what is left, so that two extensions in a
 * row may be lost. Tells once when the lease is over: the service says so, or no extension came in time.
 */
export class LeaseKeeper {
  #cancel = () => {};
  #endsAtMs: number;
  #stopped = false;
  #lost = false;
  readonly #heldUntilMs: number;

  /** `holdMsMax` is how long it is kept in all: a rebuild that hangs must not keep its key forever. */
  constructor(
    private readonly extend: Extend,
    expiresInMs: number,
    private readonly onLost: () => void,
    holdMsMax = Number.POSITIVE_INFINITY,
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {
    this.#endsAtMs = this.clock.nowMs() + expiresInMs;
    this.#heldUntilMs = this.clock.nowMs() + holdMsMax;
    this.#plan();
  }

  /** It was lost because it was held for too long, and the service does not know. */
  get heldTooLong(): boolean {
    return this.#lost && this.clock.nowMs() >= this.#heldUntilMs;
  }

  get lost(): boolean {
    return this.#lost;
  }

  /** The service says that it is over. */
  lose(): void {
    if (!this.#stopped) this.#lose();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #plan(): void {
    const nowMs = this.clock.nowMs();
    const leftMs = this.#endsAtMs - nowMs;
    // Below a few milliseconds a third is no time: the end is near, and is told when it comes.
    const thirdMs = Math.min(leftMs, Math.max(THIRD_MS_MIN, leftMs / 3));
    const pauseMs = Math.max(0, Math.min(thirdMs, this.#heldUntilMs - nowMs));
    this.#cancel = this.clock.after(pauseMs, () => void this.#extend());
  }

  async #extend(): Promise<void> {
    const askedAtMs = this.clock.nowMs();
    let over = askedAtMs >= Math.min(this.#endsAtMs, this.#heldUntilMs);
    if (!over) {
      try {
        // A try that hangs ends with the lease, so that the loss is told then and not later.
        const leftMs = Math.max(1, Math.ceil(this.#endsAtMs - askedAtMs));
        const { outcome, expiresInMs } = await this.extend(Math.min(EXTEND_MS, leftMs));
        over = outcome === 'lost';
        if (outcome === 'extended') this.#endsAtMs = askedAtMs + expiresInMs;
      } catch (error) {
        // Not answered is not lost: the lease still has its end, and the next third brings another try.
        over = (error as DibsError).code === 'INVALID_ARGUMENT';
      }
    }
    if (this.#stopped) return;
    if (over) this.#lose();
    else this.#plan();
  }

  #lose(): void {
    this.stop();
    this.#lost = true;
    this.onLost();
  }
}
