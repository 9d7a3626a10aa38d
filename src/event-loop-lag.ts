/** How often the event loop is checked. */
const TICK_MS = 100;
/** A tick with more delay than this is late. Garbage collections and wakes of ten thousand stay below it. */
const LATE_MS = 500;
/** This many late ticks in a row mean overload, not a burst such as a stampede. */
const LATE_TICKS = 4;

/**
 * Detects sustained overload. Requests in the sockets are then older than their callers' timeouts.
 */
export class EventLoopLag {
  #lateTicks = 0;
  #dueMs = performance.now() + TICK_MS;
  #timer: NodeJS.Timeout | undefined;

  /** `changed` is called when overload begins and when it ends. */
  constructor(private readonly changed: (behind: boolean, lagMs: number) => void) {}

  start(): void {
    this.#timer = setInterval(() => this.tick(performance.now()), TICK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  get behind(): boolean {
    return this.#lateTicks >= LATE_TICKS;
  }

  /** One check, at `nowMs` of the monotonic clock. */
  tick(nowMs: number): void {
    const lagMs = nowMs - this.#dueMs;
    this.#dueMs = nowMs + TICK_MS;
    const before = this.behind;
    this.#lateTicks = lagMs > LATE_MS ? this.#lateTicks + 1 : 0;
    if (this.behind !== before) this.changed(this.behind, Math.max(0, lagMs));
  }
}
