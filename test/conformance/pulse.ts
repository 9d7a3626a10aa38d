const EVERY_MS = 500;
/** An answer takes a few milliseconds, if its process gets a CPU. Clients give up some calls after 2 s. */
const LATE_MS = 1_000;

/** Asks something that is answered at once, again and again, and notes when the answer was late. */
export class Pulse {
  #askedMs: number | undefined;
  #lateMs = Number.NEGATIVE_INFINITY;
  #isPaused = false;

  constructor(private readonly ask: () => Promise<unknown>) {
    setInterval(() => void this.#beat(), EVERY_MS).unref();
  }

  /** Whether an answer was late since then, or is late now. */
  wasLate(sinceMs: number): boolean {
    const owedMs = this.#askedMs === undefined ? 0 : performance.now() - this.#askedMs;
    return this.#lateMs >= sinceMs || owedMs >= LATE_MS;
  }

  /** It stands still because it was told to. */
  pause(): void {
    this.#isPaused = true;
    this.#askedMs = undefined;
  }

  continue(): void {
    this.#isPaused = false;
  }

  async #beat(): Promise<void> {
    if (this.#isPaused || this.#askedMs !== undefined) return;
    const askedMs = performance.now();
    this.#askedMs = askedMs;
    await this.ask().catch(() => {});
    if (this.#askedMs !== askedMs) return;
    this.#askedMs = undefined;
    if (performance.now() - askedMs >= LATE_MS) this.#lateMs = performance.now();
  }
}
