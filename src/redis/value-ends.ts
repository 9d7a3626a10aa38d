/** Smaller ones stay with their record: their bytes weigh no more than a second script for each publish. */
export const FORGOTTEN_BYTES_MIN = 16_384;
/** The store's clock may be behind this process's. A value that is there for a second longer does no harm. */
const MARGIN_MS = 1_000;
/** One takes about 300 bytes here. A value beyond them stays for as long as its record. */
const ENDS_MAX = 100_000;
/** The longest that a timer can wait, 24 days. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** A record outlives its value by the longest lease. Its value should not: its bytes are dropped when it expires. */
export class ValueEnds {
  readonly #timers = new Map<string, NodeJS.Timeout>();

  /** `forget` drops an expired value. Resolves to how long it may still be served, 0 if it is gone. */
  constructor(private readonly forget: (id: string, fence: number) => Promise<number>) {}

  get size(): number {
    return this.#timers.size;
  }

  /** The value of this fence may be served for so long from now on, at most. */
  stored(id: string, fence: number, servableForMs: number): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    const afterMs = servableForMs + MARGIN_MS;
    if (afterMs > TIMER_MS_MAX || this.#timers.size >= ENDS_MAX) return;
    const timer = setTimeout(() => void this.#over(id, fence), afterMs);
    // A replica that stops does not wait for it.
    timer.unref();
    this.#timers.set(id, timer);
  }

  async #over(id: string, fence: number): Promise<void> {
    this.#timers.delete(id);
    // Without an answer it stays until the record goes.
    const leftMs = await this.forget(id, fence).catch(() => 0);
    // Another value may have been stored here meanwhile.
    if (leftMs > 0 && !this.#timers.has(id)) this.stored(id, fence, leftMs);
  }
}
