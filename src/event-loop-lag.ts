/** How often the event loop is looked at. */
const TICK_MS = 100;
/** A tick that comes later than this is late: garbage collections and wakes of ten thousand stay below it. */
const LATE_MS = 500;
/** So many late ticks in a row are no burst, such as a stampede is, but more than this process can do. */
const LATE_TICKS = 4;

/**
 * Whether this process falls behind for so long that more work would drown it: what waits in its sockets then is
 * older than the patience of who sent it.
 */
export class EventLoopLag {
  #lateTicks = 0;
  #dueMs = performance.now() + TICK_MS;
  #timer: NodeJS.Timeout | undefined;

  /** `changed` hears when it begins to fall behind, and when it has caught up. */
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

  /** One look, at `nowMs` of the monotonic clock. */
  tick(nowMs: number): void {
    const lagMs = nowMs - this.#dueMs;
    this.#dueMs = nowMs + TICK_MS;
    const before = this.behind;
    this.#lateTicks = lagMs > LATE_MS ? this.#lateTicks + 1 : 0;
    if (this.behind !== before) this.changed(this.behind, Math.max(0, lagMs));
  }
}
