import { type Clock, SYSTEM_CLOCK } from './clock.js';
import type { DibsError } from './errors.js';
import type { ExtendOutcome } from './outcomes.js';

const THIRD_MS_MIN = 5;
/** What an extension may take if the lease leaves it the time. A hanging attempt must not cost the next ones. */
const EXTEND_MS = 2_000;

/** Extends one lease. Rejects with a {@link DibsError}, also without an answer within `deadlineMs`. */
export type Extend = (deadlineMs: number) => Promise<{ outcome: ExtendOutcome; expiresInMs: number }>;

/** When the request for a lease was sent, and how long the lease lasts by its answer. */
export interface Granted {
  readonly sentMs: number;
  readonly expiresInMs: number;
}

/**
 * Keeps a lease during its rebuild: extends it every third of the remaining time, so two extensions in a row may be
 * lost. Reports once when the lease is over: the service says so, or no extension came in time.
 *
 * A lease counts from its request, because its answer may have lain unread while this process stood still. But the
 * service may also have granted it after a wait. So if less than a third is left, it is extended at once, and that
 * answer decides.
 */
export class LeaseKeeper {
  #cancel = () => {};
  #endsAtMs: number;
  #stopped = false;
  #lost = false;
  readonly #heldUntilMs: number;

  /** `holdMsMax` bounds the whole time, because a hanging rebuild must not keep its key forever. */
  constructor(
    private readonly extend: Extend,
    { sentMs, expiresInMs }: Granted,
    private readonly onLost: () => void,
    holdMsMax = Number.POSITIVE_INFINITY,
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {
    const nowMs = this.clock.nowMs();
    this.#endsAtMs = sentMs + expiresInMs;
    this.#heldUntilMs = nowMs + holdMsMax;
    if (this.#endsAtMs - nowMs >= expiresInMs / 3) {
      this.#plan();
      return;
    }
    this.#endsAtMs = Math.max(this.#endsAtMs, nowMs + Math.min(expiresInMs, EXTEND_MS));
    this.#cancel = this.clock.after(0, () => void this.#extend());
  }

  /** It was given up because it was held for too long, and the service does not know. */
  get heldTooLong(): boolean {
    return this.#lost && this.clock.nowMs() >= this.#heldUntilMs;
  }

  get lost(): boolean {
    return this.#lost;
  }

  /** The service reports that it is over. */
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
    // A third of a few milliseconds is too short. The end is near, and is reported when it comes.
    const thirdMs = Math.min(leftMs, Math.max(THIRD_MS_MIN, leftMs / 3));
    const pauseMs = Math.max(0, Math.min(thirdMs, this.#heldUntilMs - nowMs));
    this.#cancel = this.clock.after(pauseMs, () => void this.#extend());
  }

  async #extend(): Promise<void> {
    const askedAtMs = this.clock.nowMs();
    let over = askedAtMs >= Math.min(this.#endsAtMs, this.#heldUntilMs);
    if (!over) {
      try {
        // A hanging attempt ends with the lease, so the loss is reported then and not later.
        const leftMs = Math.max(1, Math.ceil(this.#endsAtMs - askedAtMs));
        const { outcome, expiresInMs } = await this.extend(Math.min(EXTEND_MS, leftMs));
        over = outcome === 'lost';
        if (outcome === 'extended') this.#endsAtMs = askedAtMs + expiresInMs;
      } catch (error) {
        // No answer is not a loss: the lease keeps its end, and the next third brings another attempt.
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
