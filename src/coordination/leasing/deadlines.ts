import type { Clock } from '../ports/clock.js';
import { PassingMap } from '../words/passing-map.js';

/** The most that a deadline may be late. */
const TICK_MS = 4;
/** Below this a tick is too coarse, so a deadline gets its own timer. */
const OWN_TIMER_MS = 100;
/** How many expire in a row before the event loop gets its turn. */
const TOLD_PER_TURN = 256;

/** Cancels a deadline. */
export interface DeadlineHandle<Item> {
  cancel(item: Item): void;
}

/**
 * Many deadlines on few timers: those that fall into the same tick share one, so that a hundred thousand
 * waiters cost no more timers than there are ticks in the longest wait. The slots of a timing wheel (Varghese
 * and Lauck, "Hashed and Hierarchical Timing Wheels", 1987), kept in a map instead of a ring.
 */
export class Deadlines<Item extends object> {
  readonly #ticks = new PassingMap<number, Tick<Item>>();

  /** Calls `expired` once with each item whose time is up. */
  constructor(
    private readonly clock: Clock,
    private readonly expired: (item: Item) => void,
  ) {}

  /** Sets the one deadline of an item: `delayMs` from now, or up to a tick later. */
  set(item: Item, delayMs: number): DeadlineHandle<Item> {
    if (delayMs < OWN_TIMER_MS) return { cancel: this.clock.after(delayMs, () => this.expired(item)) };
    const nowMs = this.clock.nowMs();
    const at = Math.ceil((nowMs + delayMs) / TICK_MS);
    const tick = this.#ticks.get(at) ?? this.#open(at, nowMs);
    tick.due.add(item);
    return tick;
  }

  #open(at: number, nowMs: number): Tick<Item> {
    const stop = this.clock.after(Math.max(0, at * TICK_MS - nowMs), () => {
      this.#ticks.delete(at);
      void this.#tell(tick.due);
    });
    const tick = new Tick<Item>(() => {
      // A tick that has fired is emptied too.
      if (this.#ticks.get(at) !== tick) return;
      this.#ticks.delete(at);
      stop();
    });
    this.#ticks.set(at, tick);
    return tick;
  }

  /** A deadline that fires may cancel another one. */
  async #tell(due: ReadonlySet<Item>): Promise<void> {
    let told = 0;
    for (const item of due) {
      this.expired(item);
      told += 1;
      if (told % TOLD_PER_TURN === 0) await this.clock.turn();
    }
  }
}

class Tick<Item> implements DeadlineHandle<Item> {
  readonly due = new Set<Item>();

  constructor(private readonly emptied: () => void) {}

  cancel(item: Item): void {
    if (this.due.delete(item) && this.due.size === 0) this.emptied();
  }
}
