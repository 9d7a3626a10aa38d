import type { SlotRequest } from '../coordination/ports/namespace-store.js';
import { Sweep } from './sweep.js';

/** The origin slots of all namespaces: when each one ends, on the store's clock. */
export class Slots {
  readonly #taken = new Map<string, Map<string, number>>();
  readonly #sweep = new Sweep(this.#taken, (slots, nowMs) =>
    [...slots.values()].every((untilMs) => untilMs <= nowMs) ? undefined : slots,
  );

  /** Namespaces with slots that are taken, including expired ones. */
  get size(): number {
    return this.#taken.size;
  }

  enter(namespace: string, { slot, max, ttlMs, ttlMsMax }: SlotRequest, nowMs: number): boolean {
    this.#sweep.some(nowMs);
    // A slot that ends later than one taken now was taken before the clock was set back.
    const isTaken = (untilMs: number) => untilMs > nowMs && untilMs <= nowMs + ttlMsMax;
    const slots = new Map([...(this.#taken.get(namespace) ?? [])].filter(([, untilMs]) => isTaken(untilMs)));
    const takes = slots.has(slot) || slots.size < max;
    if (takes) this.#taken.set(namespace, slots.set(slot, nowMs + ttlMs));
    return takes;
  }

  keep(namespace: string, slot: string, as: string, ttlMs: number, nowMs: number): boolean {
    const slots = this.#taken.get(namespace);
    if ((slots?.get(slot) ?? 0) <= nowMs) return false;
    slots?.delete(slot);
    slots?.set(as, nowMs + ttlMs);
    return true;
  }

  /** False if it was not taken. */
  leave(namespace: string, slot: string): boolean {
    const slots = this.#taken.get(namespace);
    const left = slots?.delete(slot) === true;
    if (slots?.size === 0) this.#taken.delete(namespace);
    return left;
  }

  clear(): void {
    this.#taken.clear();
  }
}
