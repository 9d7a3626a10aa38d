import type { Chance, Clock } from '../coordination/ports/clock.js';
import type {
  NamespaceInvalidate,
  NamespaceRecord,
  NamespaceStore,
  SlotRequest,
} from '../coordination/ports/namespace-store.js';
import type { NamespaceWake } from '../coordination/ports/wake-channel.js';
import type { TagClock } from '../coordination/words/tag-clock.js';
import { Namespaces } from './namespaces.js';

export interface MemoryNamespaceStoreParts {
  readonly clock: Clock;
  readonly chance: Chance;
  /** Where wakes are sent. */
  readonly wakes: { publishNamespace(wake: NamespaceWake): void };
  /** How many stamps of one namespace are kept; absent: as on Redis. */
  readonly stampsMax?: number;
}

/** Namespaces in this process's memory. */
export class MemoryNamespaceStore implements NamespaceStore {
  readonly #spaces: Namespaces;

  constructor(private readonly parts: MemoryNamespaceStoreParts) {
    const { chance, stampsMax } = parts;
    this.#spaces = new Namespaces({ freshId: () => chance.nonce(), stampsMax });
  }

  /** Namespaces held now, including expired ones. */
  get size(): number {
    return this.#spaces.size;
  }

  /** Tags of a namespace whose stamps are kept. */
  stampsOf(namespace: string): number {
    return this.#spaces.stampsOf(namespace);
  }

  async read(namespace: string, tags: readonly string[], rebuildMs?: number): Promise<NamespaceRecord> {
    return this.#spaces.read(namespace, tags, rebuildMs, this.#nowMs);
  }

  async begin(namespace: string, keepMs: number): Promise<TagClock> {
    return this.#spaces.begin(namespace, keepMs, this.#nowMs);
  }

  async invalidate(namespace: string, request: NamespaceInvalidate): Promise<TagClock> {
    const clock = this.#spaces.invalidate(namespace, request, this.#nowMs);
    const { tags, all } = request;
    this.parts.wakes.publishNamespace({
      namespace,
      kind: 'tags',
      wake: { clockId: clock.id, time: clock.at, tags, all },
    });
    return clock;
  }

  async enter(namespace: string, request: SlotRequest): Promise<boolean> {
    return this.#spaces.enter(namespace, request, this.#nowMs);
  }

  async keep(namespace: string, slot: string, as: string, ttlMs: number): Promise<boolean> {
    return this.#spaces.keep(namespace, slot, as, ttlMs, this.#nowMs);
  }

  async leave(namespace: string, slot: string): Promise<void> {
    if (!this.#spaces.leave(namespace, slot)) return;
    this.parts.wakes.publishNamespace({ namespace, kind: 'room' });
  }

  get #nowMs(): number {
    return this.parts.clock.nowMs();
  }
}
