import type { VirtualTime } from './virtual-time.js';

/** A running deadline. It has been met if `expire` is undefined. */
export interface Open {
  readonly atMs: number;
  expire: (() => void) | undefined;
}

/** Many deadlines of one length on one timer. Most are met, and cost no timer. */
export class Expiries {
  #open: Open[] = [];
  #planned = false;

  constructor(
    private readonly time: VirtualTime,
    private readonly lengthMs: number,
    private readonly queue: string,
  ) {}

  /** Calls `expire` when the time is up, unless it is removed from the returned object. */
  begin(expire: () => void): Open {
    const open: Open = { atMs: this.time.nowMs + this.lengthMs, expire };
    this.#open.push(open);
    if (!this.#planned) this.#plan(open.atMs);
    return open;
  }

  #plan(atMs: number): void {
    this.#planned = true;
    this.time.at(atMs, () => this.#tell(), this.queue);
  }

  #tell(): void {
    this.#planned = false;
    const { nowMs } = this.time;
    const from = this.#open.findIndex(({ atMs, expire }) => atMs > nowMs && expire !== undefined);
    const over = this.#open.splice(0, from < 0 ? this.#open.length : from);
    for (const { expire } of over) expire?.();
    // A deadline that began while these expired may have planned the next timer already.
    const [first] = this.#open;
    if (first !== undefined && !this.#planned) this.#plan(first.atMs);
  }
}
