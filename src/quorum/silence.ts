import { RunningTime } from '../coordination/degradation/running-time.js';
import type { Clock } from '../coordination/ports/clock.js';

/** How long a node that owes a reply has been silent, in this process's own running time. */
export class Silence {
  #isOn = false;
  #ms = 0;
  readonly #running: RunningTime;

  /** After `goneMs` of it the node counts as gone. */
  constructor(
    clock: Clock,
    private readonly goneMs: number,
  ) {
    this.#running = new RunningTime(clock, (ms) => {
      this.#ms += ms;
      return !this.isGone;
    });
  }

  /** The silence lasts, but the node may only be slow. */
  get mayEnd(): boolean {
    return this.#isOn && !this.isGone;
  }

  get isGone(): boolean {
    return this.#ms >= this.goneMs;
  }

  /** The silence has already lasted for at least `ms`. */
  begin(ms: number): void {
    this.#isOn = true;
    this.#ms = Math.max(this.#ms, ms);
    this.#running.start();
  }

  /** The node has answered, or is known to be gone. */
  end(): void {
    if (!this.#isOn) return;
    this.#isOn = false;
    this.#ms = 0;
    this.#running.stop();
  }
}
