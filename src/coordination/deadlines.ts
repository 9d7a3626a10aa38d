import type { Clock } from './clock.js';

/** How late a deadline may be told at the most. */
const TICK_MS = 4;
/** Below this a tick counts for something, so that a deadline gets a timer of its own. */
const OWN_TIMER_MS = 100;
/** Told in one go before the event loop gets its turn. */
const TOLD_PER_TURN = 256;

interface Tick {
  readonly due: Set<() => void>;
  readonly cancel: () => void;
}

/**
 * Many deadlines on few timers: those that fall into the same tick share one, so that a hundred thousand
 * waiters cost no more timers than there are ticks in the longest wait. The slots of a timing wheel (Varghese
 * and Lauck, "Hashed and Hierarchical Timing Wheels", 1987), kept in a map instead of a ring.
 */
export class Deadlines {
  readonly #ticks = new Map<number, Tick>();

  constructor(private readonly clock: Clock) {}

  /** Calls `fire` once, `delayMs` from now or up to a tick later. The returned function cancels it. */
  after(delayMs: number, fire: () => void): () => void {
    if (delayMs < OWN_TIMER_MS) return this.clock.after(delayMs, fire);
    const nowMs = this.clock.nowMs();
    const at = Math.ceil((nowMs + delayMs) / TICK_MS);
    const tick = this.#ticks.get(at) ?? this.#open(at, nowMs);
    // Its own, also where the same function waits twice.
    const own = () => fire();
    tick.due.add(own);
    return () => {
      if (!tick.due.delete(own) || tick.due.size > 0 || this.#ticks.get(at) !== tick) return;
      this.#ticks.delete(at);
      tick.cancel();
    };
  }

  #open(at: number, nowMs: number): Tick {
    const due = new Set<() => void>();
    const cancel = this.clock.after(Math.max(0, at * TICK_MS - nowMs), () => {
      this.#ticks.delete(at);
      void this.#tell(due);
    });
    const tick = { due, cancel };
    this.#ticks.set(at, tick);
    return tick;
  }

  /** One that is told may cancel another. */
  async #tell(due: ReadonlySet<() => void>): Promise<void> {
    let told = 0;
    for (const fire of due) {
      fire();
      told += 1;
      if (told % TOLD_PER_TURN === 0) await this.clock.turn();
    }
  }
}
