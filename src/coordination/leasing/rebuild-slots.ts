import { inPatience, isLost, type Patience } from '../degradation/patience.js';
import { ignoreIfRefused, rethrowUnlessUnavailable } from '../degradation/unavailable.js';
import type { Chance } from '../ports/clock.js';
import type { NamespaceStore } from '../ports/namespace-store.js';
import type { Key } from '../words/key.js';
import type { Limits } from '../words/policy.js';
import type { HeldLeases } from './held-leases.js';

export interface RebuildSlotsParts extends Patience {
  readonly namespaces: NamespaceStore;
  readonly chance: Chance;
  readonly limits: Pick<Limits, 'leaseMsMax' | 'storeTimeoutMs'>;
}

/** A slot under which one rebuild may run; empty where the namespace has no slots. */
export type Slot = string;

/**
 * The origin slots: at most `max_rebuilds` rebuilds of a namespace at a time across the fleet. Keys that find
 * no slot wait in line on this replica, and only the first of them asks again, when a slot was given back
 * or its room polls.
 */
export class RebuildSlots {
  readonly #lines = new Map<string, Set<string>>();
  /** The slots of attempts under way: they may become leases, which the store then does not count. By namespace. */
  readonly #trying = new Map<string, Set<Slot>>();

  /** `wake` wakes the loop of a key. */
  constructor(
    private readonly parts: RebuildSlotsParts,
    private readonly held: HeldLeases,
    private readonly wake: (id: string) => void,
  ) {}

  /** Undefined if all slots are taken, or others came first: then the key waits in line. */
  enter(key: Key, ttlMs: number): Slot | Promise<Slot | undefined> {
    const { maxRebuilds: max } = this.parts.policyOf(key.namespace);
    if (max === 0) return '';
    return this.#enter(key, max, ttlMs);
  }

  async #enter({ namespace, id }: Key, max: number, ttlMs: number): Promise<Slot | undefined> {
    const line = this.#lines.get(namespace);
    if (line !== undefined && first(line) !== id) {
      line.add(id);
      return undefined;
    }
    const slot = this.parts.chance.nonce();
    if (!(await this.#isFree(namespace, slot, max, ttlMs))) {
      this.#lineOf(namespace).add(id);
      return undefined;
    }
    // There may be room for the next one too.
    this.forget({ namespace, id });
    return slot;
  }

  /** The slot belongs to the granted lease from now on: the end of the lease gives it back. */
  keep(namespace: string, slot: Slot, nonce: string, ttlMs: number): Promise<unknown> | undefined {
    this.#tried(namespace, slot);
    if (slot === '' || this.parts.policyOf(namespace).maxRebuilds === 0) return undefined;
    // Without the store it expires.
    return this.parts.namespaces.keep(namespace, slot, nonce, ttlMs).catch(ignoreIfRefused);
  }

  /** Gives back the slot of a lease (by its nonce), or of an attempt without a lease. */
  leave(namespace: string, slot: Slot): Promise<unknown> | undefined {
    this.#tried(namespace, slot);
    if (slot === '' || this.parts.policyOf(namespace).maxRebuilds === 0) return undefined;
    return this.parts.namespaces.leave(namespace, slot).catch(ignoreIfRefused);
  }

  /** No caller waits for the key here any more, or the key has its slot. */
  forget({ namespace, id }: Pick<Key, 'namespace' | 'id'>): void {
    const line = this.#lines.get(namespace);
    if (line === undefined) return;
    line.delete(id);
    if (line.size === 0) this.#lines.delete(namespace);
    else this.roomIn(namespace);
  }

  /** A slot may be free. */
  roomIn(namespace: string): void {
    const line = this.#lines.get(namespace);
    if (line !== undefined) this.wake(first(line) ?? '');
  }

  /** Without the store, rebuilds are counted on this replica alone. */
  async #isFree(namespace: string, slot: Slot, max: number, ttlMs: number): Promise<boolean> {
    const request = { slot, max, ttlMs, ttlMsMax: this.parts.limits.leaseMsMax };
    const entering = this.parts.namespaces.enter(namespace, request);
    try {
      const isFree = await inPatience(this.parts, namespace, entering);
      if (isFree) this.#tries(namespace, slot);
      return isFree;
    } catch (error) {
      rethrowUnlessUnavailable(error);
      const isAlone = isLost(error, this.parts.policyOf(namespace));
      if (isAlone && this.#countOf(namespace) < max) {
        // At once: other keys may miss at the same time.
        this.#tries(namespace, slot);
        return true;
      }
      // Its reply may still come, and no attempt is left that would give the slot back.
      void entering.then((taken) => taken && this.leave(namespace, slot), ignoreIfRefused);
      return false;
    }
  }

  /** The rebuilds of this replica, and the attempts that may become one. */
  #countOf(namespace: string): number {
    return this.held.countOf(namespace) + (this.#trying.get(namespace)?.size ?? 0);
  }

  #tries(namespace: string, slot: Slot): void {
    const trying = this.#trying.get(namespace) ?? new Set();
    this.#trying.set(namespace, trying.add(slot));
  }

  /** The attempt has ended. If it has given a lease, that is held by now. */
  #tried(namespace: string, slot: Slot): void {
    const trying = this.#trying.get(namespace);
    if (trying?.delete(slot) === true && trying.size === 0) this.#trying.delete(namespace);
  }

  #lineOf(namespace: string): Set<string> {
    const line = this.#lines.get(namespace) ?? new Set();
    this.#lines.set(namespace, line);
    return line;
  }
}

function first(line: Set<string>): string | undefined {
  const [id] = line;
  return id;
}
