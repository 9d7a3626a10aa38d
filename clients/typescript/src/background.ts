import { type Clock, SYSTEM_CLOCK } from './clock.js';

/** What goes on after its caller has been answered: rebuilds behind a stale value, publishes that are repeated. */
export class Background {
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(private readonly clock: Clock = SYSTEM_CLOCK) {}

  add(work: Promise<unknown>): void {
    const ended: Promise<unknown> = work.catch(() => {}).finally(() => this.#underWay.delete(ended));
    this.#underWay.add(ended);
  }

  /** Whether all of it has ended within `timeoutMs`, also what began meanwhile. */
  async ended(timeoutMs: number): Promise<boolean> {
    const over = new AbortController();
    const timedOut = new Promise<void>((resolve) => {
      over.signal.addEventListener('abort', this.clock.after(timeoutMs, resolve));
    });
    let isLate = false;
    void timedOut.then(() => {
      isLate = true;
    });
    while (this.#underWay.size > 0 && !isLate) await Promise.race([Promise.all(this.#underWay), timedOut]);
    over.abort();
    return this.#underWay.size === 0;
  }
}
