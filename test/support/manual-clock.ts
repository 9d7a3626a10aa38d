import type { Clock } from '../../src/coordination/ports/clock.js';
import { type Gate, Gates } from './gates.js';

/** A clock that moves only when told to. Due timers fire in the order of their times. */
export class ManualClock implements Clock {
  #nowMs: number;
  readonly #turns = new Gates<'turn'>();
  #timers: { readonly dueMs: number; readonly fire: () => void }[] = [];

  constructor(nowMs = 1_000_000) {
    this.#nowMs = nowMs;
  }

  /** How many timers have not fired yet. */
  get timers(): number {
    return this.#timers.length;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fire: () => void): () => void {
    const timer = { dueMs: this.#nowMs + delayMs, fire };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Holds the next turn. */
  holdTurn(): Gate {
    return this.#turns.close('turn');
  }

  turn(): Promise<void> {
    return this.#turns.pass('turn');
  }

  /** Moves the clock as if the process had been stopped: due timers do not fire yet. */
  stopFor(ms: number): void {
    this.#nowMs += ms;
  }

  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ dueMs }) => dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.fire();
    }
    this.#nowMs = untilMs;
  }
}
