import type { Key } from './key.js';
import type { StoredValue } from './record.js';
import type { View } from './view.js';

/** Of an entry, besides its id and its value: records, views and their places in the maps; `npm run bench -- footprint`. */
const ENTRY_BYTES = 1_800;

interface Entry {
  readonly namespace: string;
  readonly view: View;
  readonly bytes: number;
}

/**
 * Views of fresh values in this replica's memory, the least recently used dropped first. What changes is
 * dropped when its wake comes; the caller must not trust it as fresh while the wake channel is down.
 */
export class NearCache {
  readonly #entries = new Map<string, Entry>();
  readonly #byNamespace = new Map<string, Set<string>>();
  #bytes = 0;
  #generation = 0;

  /** `bytesMax` of 0 keeps nothing. */
  constructor(private readonly bytesMax: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  /** To be read before a look is sent: what {@link clear} or {@link dropNamespace} drop must not come back by it. */
  get generation(): number {
    return this.#generation;
  }

  /** Keeps what a look saw, unless something was dropped since `generation`, or it is too large. */
  fill({ id, namespace }: Key, view: View, generation: number): void {
    const { value } = view.record;
    if (value === undefined || generation !== this.#generation) return;
    const payloadBytes = value.payload.kind === 'value' ? value.payload.bytes.byteLength : 0;
    const bytes = payloadBytes + 2 * id.length + ENTRY_BYTES;
    if (bytes > this.bytesMax) return;
    this.#drop(id);
    this.#entries.set(id, { namespace, view, bytes });
    this.#bytes += bytes;
    const ids = this.#byNamespace.get(namespace) ?? new Set();
    this.#byNamespace.set(namespace, ids.add(id));
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.bytesMax) break;
      this.#drop(oldest);
    }
  }

  get(id: string): View | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    // The order of the map is the order of use.
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    return entry.view;
  }

  /** For when the store is lost: what it had, which is to be taken for stale, for changes may not have been heard. */
  stale(id: string, nowMs: number): StoredValue | undefined {
    const view = this.#entries.get(id)?.view;
    if (view?.record.value === undefined) return undefined;
    const servableForMs = view.record.value.servableForMs - (nowMs - view.readAtMs);
    return servableForMs > 0 ? { ...view.record.value, freshForMs: 0, servableForMs } : undefined;
  }

  /** The key changed, at this fence. */
  changed(id: string, fence: number): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined && entry.view.record.valueFence < fence) this.#drop(id);
  }

  /** Tags of the namespace, or all of it, were invalidated: the store says which values still count. */
  dropNamespace(namespace: string): void {
    this.#generation += 1;
    for (const id of this.#byNamespace.get(namespace) ?? []) this.#drop(id);
  }

  clear(): void {
    this.#generation += 1;
    this.#entries.clear();
    this.#byNamespace.clear();
    this.#bytes = 0;
  }

  #drop(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#bytes -= entry.bytes;
    const ids = this.#byNamespace.get(entry.namespace);
    ids?.delete(id);
    if (ids?.size === 0) this.#byNamespace.delete(entry.namespace);
  }
}
