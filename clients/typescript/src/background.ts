import { type Clock, SYSTEM_CLOCK } from './clock.js';

/** Work that continues after its caller was answered: rebuilds behind a stale value, and repeated publishes. */
export class Background {
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(private readonly clock: Clock = SYSTEM_CLOCK) {}

  add(work: Promise<unknown>): void {
    const ended: Promise<unknown> = work.catch(() => {}).finally(() => this.#underWay.delete(ended));
    this.#underWay.add(ended);
  }

  /** Whether all of it ends within `timeoutMs`, including work that begins in the meantime. */
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
