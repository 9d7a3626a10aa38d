/** How many calls are remembered whose callers have left. */
const LEFT_MAX = 1_000;
/** The slots at first. A power of two, as is each further size. */
const SLOTS_MIN = 256;
/** More are looked up by number. */
const SLOTS_MAX = 65_536;

/**
 * The open calls of one stream, by their numbers, which count up. Each has the slot of its number, so adding and removing
 * one creates nothing. A map would be copied again and again, and each copy would keep the calls of that time
 * alive until the next collection of old objects. A call that is open when its slot is needed again goes into a map.
 */
export class OpenCalls<Call extends { readonly id: number }> {
  #slots: (Call | undefined)[] = new Array(SLOTS_MIN).fill(undefined);
  /** They have waited while many others came and went. */
  readonly #waiting = new Map<number, Call>();
  readonly #left = new Map<number, Call>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Each with a number of its own. */
  add(call: Call): void {
    const before = this.#put(call);
    this.#size += 1;
    if (before === undefined) return;
    this.#waiting.set(before.id, before);
    // There are more open calls than slots.
    if (2 * this.#waiting.size > this.#slots.length && this.#slots.length < SLOTS_MAX) this.#grow();
  }

  get(id: number): Call | undefined {
    const call = this.#slots[this.#slotOf(id)];
    if (call?.id === id) return call;
    return this.#waiting.size === 0 ? undefined : this.#waiting.get(id);
  }

  /** False if it was not open. */
  delete(id: number): boolean {
    const slot = this.#slotOf(id);
    if (this.#slots[slot]?.id === id) this.#slots[slot] = undefined;
    else if (!this.#waiting.delete(id)) return false;
    this.#size -= 1;
    return true;
  }

  /** Its caller leaves. Answers may be on their way, and one may be a lease. */
  leave(call: Call): void {
    this.#left.set(call.id, call);
    for (const oldest of this.#left.keys()) {
      if (this.#left.size <= LEFT_MAX) break;
      this.#left.delete(oldest);
    }
  }

  /** Such a call, if it is not long ago. */
  left(id: number): Call | undefined {
    return this.#left.size === 0 ? undefined : this.#left.get(id);
  }

  /** The first first. */
  all(): Call[] {
    const open = this.#slots.filter((call) => call !== undefined);
    return [...this.#waiting.values(), ...open].sort((one, other) => one.id - other.id);
  }

  /** Returns the call whose slot it takes. */
  #put(call: Call): Call | undefined {
    const slot = this.#slotOf(call.id);
    const before = this.#slots[slot];
    this.#slots[slot] = call;
    return before;
  }

  #grow(): void {
    const open = this.all();
    this.#slots = new Array(4 * this.#slots.length).fill(undefined);
    this.#waiting.clear();
    for (const call of open) {
      const before = this.#put(call);
      if (before !== undefined) this.#waiting.set(before.id, before);
    }
  }

  #slotOf(id: number): number {
    return id & (this.#slots.length - 1);
  }
}
