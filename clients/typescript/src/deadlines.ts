import { type Clock, SYSTEM_CLOCK } from './clock.js';

/** The most that a deadline may be late, in milliseconds. */
const TICK_MS = 4;

/** What has one deadline, and where that stands. */
export interface Timed {
  tick: Tick | undefined;
  /** Its place in the tick. */
  place: number;
}

/** Deadlines on one timer. */
export interface Tick {
  /** It was set here. */
  cancel(item: Timed): void;
}

/**
 * Many deadlines on few timers: those that fall into the same tick share one. Setting and cancelling one creates
 * nothing, because most calls are answered long before.
 */
export class Deadlines<Item extends Timed> {
  readonly #ticks = new Map<number, OpenTick<Item>>();
  /** Where the last deadline was set. The next one often falls into it too. */
  #last: OpenTick<Item> | undefined;

  /** Calls `expired` once with each item whose time is up. */
  constructor(
    private readonly expired: (item: Item) => void,
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {}

  /** Sets the one deadline of an item: `delayMs` from now, or up to a tick later. */
  set(item: Item, delayMs: number): void {
    const nowMs = this.clock.nowMs();
    const at = Math.ceil((nowMs + delayMs) / TICK_MS);
    if (this.#last?.at !== at) this.#last = this.#ticks.get(at) ?? this.#open(at, nowMs);
    this.#last.add(item);
  }

  cancel(item: Item): void {
    item.tick?.cancel(item);
  }

  #open(at: number, nowMs: number): OpenTick<Item> {
    const stop = this.clock.after(at * TICK_MS - nowMs, () => {
      this.#close(tick);
      // An item that expires may cancel another one.
      tick.expire(this.expired);
    });
    const tick = new OpenTick<Item>(at, () => {
      stop();
      this.#close(tick);
    });
    this.#ticks.set(at, tick);
    return tick;
  }

  #close(tick: OpenTick<Item>): void {
    if (this.#last === tick) this.#last = undefined;
    if (this.#ticks.get(tick.at) === tick) this.#ticks.delete(tick.at);
  }
}

class OpenTick<Item extends Timed> implements Tick {
  /** undefined where one was cancelled, so that nothing of an answered call stays. */
  readonly #due: (Item | undefined)[] = [];
  #count = 0;

  constructor(
    readonly at: number,
    private readonly emptied: () => void,
  ) {}

  add(item: Item): void {
    item.tick = this;
    item.place = this.#due.length;
    this.#due.push(item);
    this.#count += 1;
  }

  cancel(item: Item): void {
    this.#due[item.place] = undefined;
    item.tick = undefined;
    this.#count -= 1;
    if (this.#count === 0) this.emptied();
  }

  expire(expired: (item: Item) => void): void {
    for (const item of this.#due) {
      if (item === undefined) continue;
      this.cancel(item);
      expired(item);
    }
  }
}
