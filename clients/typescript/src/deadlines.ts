import { type Clock, SYSTEM_CLOCK } from './clock.js';

/** The most that a deadline may be late, in milliseconds. */
const TICK_MS = 4;

/** The place of a deadline, to cancel it. */
export interface Slot<Item> {
  cancel(item: Item): void;
}

/** Many deadlines on few timers: those that fall into the same tick share one. */
export class Deadlines<Item extends object> {
  readonly #ticks = new Map<number, Tick<Item>>();

  /** Calls `expired` once with each item whose time is up. */
  constructor(
    private readonly expired: (item: Item) => void,
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {}

  /** Sets the one deadline of an item: `delayMs` from now, or up to a tick later. */
  set(item: Item, delayMs: number): Slot<Item> {
    const nowMs = this.clock.nowMs();
    const at = Math.ceil((nowMs + delayMs) / TICK_MS);
    const tick = this.#ticks.get(at) ?? this.#open(at, nowMs);
    tick.due.add(item);
    return tick;
  }

  #open(at: number, nowMs: number): Tick<Item> {
    const cancel = this.clock.after(at * TICK_MS - nowMs, () => {
      this.#ticks.delete(at);
      // An item that expires may cancel another one.
      for (const item of tick.due) this.expired(item);
    });
    const tick = new Tick<Item>(() => {
      if (this.#ticks.get(at) !== tick) return;
      this.#ticks.delete(at);
      cancel();
    });
    this.#ticks.set(at, tick);
    return tick;
  }
}

class Tick<Item> implements Slot<Item> {
  readonly due = new Set<Item>();

  constructor(private readonly emptied: () => void) {}

  cancel(item: Item): void {
    if (this.due.delete(item) && this.due.size === 0) this.emptied();
  }
}
