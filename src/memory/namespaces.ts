import {
  BEGUN_KEEP_MS,
  type NamespaceInvalidate,
  type NamespaceRecord,
  type SlotRequest,
  STAMPS_MAX,
} from '../coordination/ports/namespace-store.js';
import type { RebuildTimes } from '../coordination/words/record.js';
import { encodeTagClock, type TagClock } from '../coordination/words/tag-clock.js';
import { learned } from './record-steps.js';
import { Slots } from './slots.js';
import { Sweep } from './sweep.js';
import { TagStamps } from './tag-stamps.js';

/** What is kept of one namespace, with times on the store's clock. */
interface MemoryNamespace {
  readonly id: string;
  clock: number;
  rebuild?: RebuildTimes | undefined;
  readonly stamps: TagStamps;
  expiresAtMs: number;
}

export interface NamespacesOptions {
  /** Makes the id of a new clock. */
  freshId(): string;
  /** How many stamps of one namespace are kept. */
  readonly stampsMax?: number;
}

/** All namespaces of one store, changed in place: a namespace may hold many stamps. Each method is one step of it. */
export class Namespaces {
  readonly #spaces = new Map<string, MemoryNamespace>();
  readonly #slots = new Slots();
  readonly #sweep = new Sweep(this.#spaces, (space, nowMs) =>
    space.expiresAtMs <= nowMs ? undefined : space,
  );

  constructor(private readonly options: NamespacesOptions) {}

  /** Namespaces held now, including expired ones. */
  get size(): number {
    return this.#spaces.size + this.#slots.size;
  }

  /** Tags of a namespace whose stamps are kept. */
  stampsOf(namespace: string): number {
    return this.#spaces.get(namespace)?.stamps.size ?? 0;
  }

  read(
    namespace: string,
    tags: readonly string[],
    rebuildMs: number | undefined,
    nowMs: number,
  ): NamespaceRecord {
    const space = this.#alive(namespace, nowMs);
    if (space === undefined) return { clock: '', keptForMs: 0, stamps: [] };
    if (rebuildMs !== undefined) space.rebuild = learned(space.rebuild, rebuildMs);
    const { id, clock, rebuild, stamps, expiresAtMs } = space;
    return {
      clock: encodeTagClock({ id, at: clock }),
      keptForMs: expiresAtMs - nowMs,
      rebuild,
      stamps: stamps.read(tags, nowMs),
    };
  }

  begin(namespace: string, keepMs: number, nowMs: number): TagClock {
    const space = this.#alive(namespace, nowMs) ?? this.#begun(namespace, nowMs);
    space.expiresAtMs = Math.max(space.expiresAtMs, nowMs + keepMs);
    return { id: space.id, at: space.clock };
  }

  invalidate(namespace: string, request: NamespaceInvalidate, nowMs: number): TagClock {
    const space = this.#alive(namespace, nowMs) ?? this.#begun(namespace, nowMs + BEGUN_KEEP_MS);
    space.clock += 1;
    space.stamps.stamp(request, space.clock, nowMs);
    return { id: space.id, at: space.clock };
  }

  enter(namespace: string, request: SlotRequest, nowMs: number): boolean {
    return this.#slots.enter(namespace, request, nowMs);
  }

  keep(namespace: string, slot: string, as: string, ttlMs: number, nowMs: number): boolean {
    return this.#slots.keep(namespace, slot, as, ttlMs, nowMs);
  }

  leave(namespace: string, slot: string): boolean {
    return this.#slots.leave(namespace, slot);
  }

  /** Loses everything, as a restart does. */
  clear(): void {
    this.#spaces.clear();
    this.#slots.clear();
  }

  #begun(namespace: string, expiresAtMs: number): MemoryNamespace {
    const { freshId, stampsMax = STAMPS_MAX } = this.options;
    const begun = { id: freshId(), clock: 1, stamps: new TagStamps(stampsMax), expiresAtMs };
    this.#spaces.set(namespace, begun);
    return begun;
  }

  #alive(namespace: string, nowMs: number): MemoryNamespace | undefined {
    this.#sweep.some(nowMs);
    const space = this.#spaces.get(namespace);
    if (space === undefined || space.expiresAtMs > nowMs) return space;
    this.#spaces.delete(namespace);
    return undefined;
  }
}
