import type { Clock } from '../../src/coordination/ports/clock.js';
import type { VirtualTime } from './virtual-time.js';

/**
 * A process that can be paused, as by a garbage collection or SIGSTOP, and killed. Whatever happens in it,
 * happens through {@link run}: nothing while it is paused, and nothing ever again once it is dead.
 */
export class SimProcess {
  #paused = false;
  #dead = false;
  #backlog: (() => void)[] = [];
  #pausedMs = 0;
  #pausedAtMs = 0;

  constructor(
    readonly name: string,
    protected readonly time: VirtualTime,
  ) {}

  get dead(): boolean {
    return this.#dead;
  }

  get paused(): boolean {
    return this.#paused;
  }

  run(what: () => void): void {
    if (this.#dead) return;
    if (this.#paused) this.#backlog.push(what);
    else what();
  }

  /** How long it has been paused in all. */
  get pausedMs(): number {
    return this.#pausedMs + (this.#paused ? this.time.nowMs - this.#pausedAtMs : 0);
  }

  pause(): void {
    if (!this.#paused) this.#pausedAtMs = this.time.nowMs;
    this.#paused = true;
  }

  /** What came meanwhile happens now, in its order. */
  resume(): void {
    this.#pausedMs = this.pausedMs;
    this.#paused = false;
    for (const what of this.#backlog.splice(0)) this.run(what);
  }

  kill(): void {
    this.#dead = true;
    this.#backlog = [];
  }
}

/** The monotonic clock of a process, which runs a little fast or slow and began anywhere. */
export class ProcessClock implements Clock {
  /** Timers that are set and have not fired. */
  pending = 0;

  constructor(
    private readonly time: VirtualTime,
    private readonly process: SimProcess,
    /** 1 is exact; the drift bound of leases is 1 %. */
    private readonly rate: number,
    private readonly offsetMs: number,
  ) {}

  nowMs(): number {
    return this.time.nowMs * this.rate + this.offsetMs;
  }

  after(delayMs: number, fire: () => void): () => void {
    let open = true;
    this.pending += 1;
    const close = () => {
      if (open) this.pending -= 1;
      open = false;
    };
    const cancel = this.time.at(this.time.nowMs + Math.max(0, delayMs) / this.rate, () =>
      this.process.run(() => {
        if (!open) return;
        close();
        fire();
      }),
    );
    return () => {
      close();
      cancel();
    };
  }

  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.time.at(this.time.nowMs, () => this.process.run(resolve));
    });
  }
}
