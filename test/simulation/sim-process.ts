import type { Clock } from '../../src/coordination/ports/clock.js';
import type { VirtualTime } from './virtual-time.js';

/**
 * A process that can be killed, or paused as by a garbage collection or SIGSTOP. Everything in it runs through
 * {@link run}: nothing while it is paused, and nothing more once it is dead.
 */
export class SimProcess {
  #paused = false;
  #dead = false;
  #backlog: (() => void)[] = [];
  #pausedMs = 0;
  #pausedAtMs = 0;

  /** The queue of its timers. */
  readonly timers: string;

  constructor(
    readonly name: string,
    protected readonly time: VirtualTime,
  ) {
    this.timers = `${name} timers`;
  }

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

  /** The total time for which it was paused. */
  get pausedMs(): number {
    return this.#pausedMs + (this.#paused ? this.time.nowMs - this.#pausedAtMs : 0);
  }

  pause(): void {
    if (!this.#paused) this.#pausedAtMs = this.time.nowMs;
    this.#paused = true;
  }

  /** Runs, in order, everything that arrived during the pause. */
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

/** A process's monotonic clock. It runs slightly fast or slow and starts at any time. */
export class ProcessClock implements Clock {
  /** The number of timers that have not fired. */
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
    const cancel = this.time.at(
      this.time.nowMs + Math.max(0, delayMs) / this.rate,
      () =>
        this.process.run(() => {
          if (!open) return;
          close();
          fire();
        }),
      this.process.timers,
    );
    return () => {
      close();
      cancel();
    };
  }

  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.time.at(this.time.nowMs, () => this.process.run(resolve), this.process.timers);
    });
  }
}
