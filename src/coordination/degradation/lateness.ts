import type { Clock } from '../ports/clock.js';
import type { Observer } from '../ports/observer.js';
import { PassingMap } from '../words/passing-map.js';

/** Lateness is remembered for the current half minute and the one before. */
const HALF_MINUTE_MS = 30_000;

/** A reply that the store owes. */
export interface Owed {
  readonly sentMs: number;
}

export interface LatenessParts {
  readonly clock: Clock;
  readonly observer: Pick<Observer, 'storeLate'>;
  readonly limits: { readonly storeTimeoutMs: number };
}

/**
 * Whether the store is late: its oldest reply has been owed for longer than the soft timeout. Callers then wait. It has
 * no other effect. One timer, for the oldest reply, is enough.
 */
export class Lateness {
  /** In the order in which they were sent. */
  readonly #owed = new PassingMap<Owed, Owed>();
  readonly #listeners: (() => void)[] = [];
  #late = false;
  #lateSinceMs = 0;
  #cancel: (() => void) | undefined;
  #longestMs = 0;
  #longestBeforeMs = 0;
  #halfMinute = 0;

  constructor(private readonly parts: LatenessParts) {}

  get late(): boolean {
    return this.#late;
  }

  /** The longest lateness of the last minute, including a current one; 0 if nothing was late. */
  get longestMs(): number {
    const nowMs = this.parts.clock.nowMs();
    this.#turnTo(nowMs);
    const lastingMs = this.#late ? nowMs - (this.#oldest?.sentMs ?? nowMs) : 0;
    return Math.max(this.#longestMs, this.#longestBeforeMs, lastingMs);
  }

  /** When the oldest request without a reply was sent; undefined if there is none. */
  get owedSinceMs(): number | undefined {
    return this.#oldest?.sentMs;
  }

  /** Calls `began` whenever the store becomes late. */
  onLate(began: () => void): void {
    this.#listeners.push(began);
  }

  /** A request is sent. */
  begin(): Owed {
    const owed = { sentMs: this.parts.clock.nowMs() };
    this.#owed.set(owed, owed);
    this.#cancel ??= this.#checkIn(this.parts.limits.storeTimeoutMs);
    return owed;
  }

  /** Its reply has come, or can no longer come. */
  end(owed: Owed): void {
    this.#owed.delete(owed);
    this.note(this.parts.clock.nowMs() - owed.sentMs);
    if (this.#late) this.#reconsider();
    if (this.#owed.size > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Records how long something took that should take a few milliseconds. Ignored below the soft timeout. */
  note(tookMs: number): void {
    if (tookMs < this.parts.limits.storeTimeoutMs) return;
    this.#turnTo(this.parts.clock.nowMs());
    this.#longestMs = Math.max(this.#longestMs, tookMs);
  }

  get #oldest(): Owed | undefined {
    return this.#owed.oldest;
  }

  #checkIn(ms: number): () => void {
    return this.parts.clock.after(ms, () => {
      // Timers run before sockets are read: after a stall of this process the reply may be there already.
      void this.parts.clock.turn().then(() => {
        this.#cancel = undefined;
        this.#reconsider();
      });
    });
  }

  #reconsider(): void {
    const { clock, limits, observer } = this.parts;
    const oldest = this.#oldest;
    const nowMs = clock.nowMs();
    const leftMs =
      oldest === undefined ? Number.POSITIVE_INFINITY : oldest.sentMs + limits.storeTimeoutMs - nowMs;
    const isLate = leftMs <= 0;
    if (!isLate && oldest !== undefined) this.#cancel ??= this.#checkIn(leftMs);
    if (isLate === this.#late) return;
    this.#late = isLate;
    if (isLate) this.#lateSinceMs = oldest?.sentMs ?? nowMs;
    observer.storeLate(isLate, nowMs - this.#lateSinceMs);
    if (isLate) for (const began of this.#listeners) began();
  }

  #turnTo(nowMs: number): void {
    const halfMinute = Math.floor(nowMs / HALF_MINUTE_MS);
    if (halfMinute === this.#halfMinute) return;
    this.#longestBeforeMs = halfMinute === this.#halfMinute + 1 ? this.#longestMs : 0;
    this.#longestMs = 0;
    this.#halfMinute = halfMinute;
  }
}
