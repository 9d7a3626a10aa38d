import type { Chance, Clock } from '../coordination/ports/clock.js';
import type {
  NamespaceInvalidate,
  NamespaceRecord,
  NamespaceStore,
  SlotRequest,
} from '../coordination/ports/namespace-store.js';
import type { NamespaceWake } from '../coordination/ports/wake-channel.js';
import type { TagClock } from '../coordination/words/tag-clock.js';
import * as steps from './namespace-steps.js';

export interface MemoryNamespaceStoreParts {
  readonly clock: Clock;
  readonly chance: Chance;
  /** Where wakes are sent. */
  readonly wakes: { publishNamespace(wake: NamespaceWake): void };
}

/** Namespaces in this process's memory. A namespace that was used once is kept: it is small. */
export class MemoryNamespaceStore implements NamespaceStore {
  readonly #spaces = new Map<string, steps.MemoryNamespace>();

  constructor(private readonly parts: MemoryNamespaceStoreParts) {}

  async read(namespace: string, tags: readonly string[], rebuildMs?: number): Promise<NamespaceRecord> {
    const space = steps.learn(this.#space(namespace), rebuildMs);
    this.#spaces.set(namespace, space);
    return steps.read(space, tags, this.#nowMs);
  }

  async invalidate(namespace: string, request: NamespaceInvalidate): Promise<TagClock> {
    const space = steps.invalidate(this.#space(namespace), request, this.#nowMs);
    this.#spaces.set(namespace, space);
    const { id, clock: at } = space;
    const { tags, all } = request;
    this.parts.wakes.publishNamespace({
      namespace,
      kind: 'tags',
      wake: { clockId: id, time: at, tags, all },
    });
    return { id, at };
  }

  async enter(namespace: string, request: SlotRequest): Promise<boolean> {
    return this.#apply(namespace, steps.enter(this.#space(namespace), request, this.#nowMs));
  }

  async keep(namespace: string, slot: string, as: string, ttlMs: number): Promise<boolean> {
    return this.#apply(namespace, steps.keep(this.#space(namespace), slot, as, ttlMs, this.#nowMs));
  }

  async leave(namespace: string, slot: string): Promise<void> {
    if (!this.#apply(namespace, steps.leave(this.#space(namespace), slot))) return;
    this.parts.wakes.publishNamespace({ namespace, kind: 'room' });
  }

  get #nowMs(): number {
    return this.parts.clock.nowMs();
  }

  #space(namespace: string): steps.MemoryNamespace {
    const known = this.#spaces.get(namespace);
    if (known !== undefined) return known;
    const begun = steps.begin(this.parts.chance.nonce());
    this.#spaces.set(namespace, begun);
    return begun;
  }

  #apply(namespace: string, next: steps.MemoryNamespace | undefined): boolean {
    if (next === undefined) return false;
    this.#spaces.set(namespace, next);
    return true;
  }
}
