import type { Clock } from '../ports/clock.js';
import { Deadlines } from './deadlines.js';

/** One call of {@link SharedTimers.after}. */
interface Alarm {
  readonly fire: () => void;
}

/**
 * A clock whose timers of a tenth of a second and more are up to 4 ms late, and share one timer of the machine if they
 * are due in the same 4 ms. Each cold cycle sets four of them, and nearly all are cancelled.
 */
export class SharedTimers implements Clock {
  readonly #alarms: Deadlines<Alarm>;

  constructor(private readonly clock: Clock) {
    this.#alarms = new Deadlines(clock, ({ fire }) => fire());
  }

  nowMs(): number {
    return this.clock.nowMs();
  }

  after(delayMs: number, fire: () => void): () => void {
    const alarm: Alarm = { fire };
    const handle = this.#alarms.set(alarm, delayMs);
    return () => handle.cancel(alarm);
  }

  turn(): Promise<void> {
    return this.clock.turn();
  }
}
