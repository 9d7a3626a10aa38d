import type { Key } from '../words/key.js';
import type { StoredValue } from '../words/record.js';
import type { Snapshot } from './snapshot.js';

/** Of an entry, besides its id and its value: records, snapshots and their slots in the maps; `npm run bench -- footprint`. */
const ENTRY_BYTES = 1_800;
/** Of a tag, besides its letters: its text, its name in the index and its set there; `npm run bench -- footprint`. */
const TAG_BYTES = 400;

interface Entry {
  readonly namespace: string;
  readonly snapshot: Snapshot;
  readonly bytes: number;
}

/**
 * Snapshots of fresh values in this replica's memory, the least recently used dropped first. What changes is
 * dropped when its wake comes; the caller must not trust it as fresh while the wake channel is down.
 */
export class NearCache {
  readonly #entries = new Map<string, Entry>();
  readonly #byNamespace = new Map<string, Set<string>>();
  /** Ids by namespace and tag: no namespace contains a line feed. */
  readonly #byTag = new Map<string, Set<string>>();
  #bytes = 0;

  /** `bytesMax` of 0 keeps nothing. */
  constructor(private readonly bytesMax: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps what a read returned, unless it is too large. The caller knows that no change of it has arrived since it was sent. */
  fill({ id, namespace }: Key, snapshot: Snapshot): void {
    const { value } = snapshot.record;
    if (value === undefined) return;
    const payloadBytes = value.payload.kind === 'value' ? value.payload.bytes.byteLength : 0;
    const tagBytes = value.tags.reduce((sum, tag) => sum + 2 * tag.length + TAG_BYTES, 0);
    const bytes = payloadBytes + 2 * id.length + tagBytes + ENTRY_BYTES;
    if (bytes > this.bytesMax) return;
    this.drop(id);
    this.#entries.set(id, { namespace, snapshot: withoutStory(snapshot), bytes });
    this.#bytes += bytes;
    add(this.#byNamespace, namespace, id);
    for (const tag of value.tags) add(this.#byTag, tagOf(namespace, tag), id);
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.bytesMax) break;
      this.drop(oldest);
    }
  }

  get(id: string): Snapshot | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    // The order of the map is the order of use.
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    return entry.snapshot;
  }

  /** What it has, fresh or not. Not a use of it: it is dropped for others no later. */
  peek(id: string): Snapshot | undefined {
    return this.#entries.get(id)?.snapshot;
  }

  /** What it has, fresh or not: for a read that is not to move it again. */
  known(id: string): StoredValue | undefined {
    return this.#entries.get(id)?.snapshot.record.value;
  }

  /** For when the store is lost: what it had, which is to be taken for stale, for changes may not have been heard. */
  stale(id: string, nowMs: number): StoredValue | undefined {
    const snapshot = this.#entries.get(id)?.snapshot;
    if (snapshot?.record.value === undefined) return undefined;
    const servableForMs = snapshot.record.value.servableForMs - (nowMs - snapshot.readAtMs);
    return servableForMs > 0 ? { ...snapshot.record.value, freshForMs: 0, servableForMs } : undefined;
  }

  /** The key changed, at this fence. */
  changed(id: string, fence: number): void {
    const entry = this.#entries.get(id);
    if (entry !== undefined && entry.snapshot.record.valueFence < fence) this.drop(id);
  }

  /** These tags of the namespace were invalidated. */
  dropTags(namespace: string, tags: readonly string[]): void {
    for (const tag of tags) for (const id of this.#byTag.get(tagOf(namespace, tag)) ?? []) this.drop(id);
  }

  /** All of the namespace was invalidated, or it is not known what of it. */
  dropNamespace(namespace: string): void {
    for (const id of this.#byNamespace.get(namespace) ?? []) this.drop(id);
  }

  clear(): void {
    this.#entries.clear();
    this.#byNamespace.clear();
    this.#byTag.clear();
    this.#bytes = 0;
  }

  /** The key changed, at any fence. */
  drop(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#bytes -= entry.bytes;
    remove(this.#byNamespace, entry.namespace, id);
    for (const tag of entry.snapshot.record.value?.tags ?? [])
      remove(this.#byTag, tagOf(entry.namespace, tag), id);
  }
}

/** No hit needs the last holder, or how the last lease ended: texts as long as callers choose. */
function withoutStory(snapshot: Snapshot): Snapshot {
  const { fence, valueFence, value, rebuild } = snapshot.record;
  return { ...snapshot, record: { fence, valueFence, value, rebuild } };
}

function tagOf(namespace: string, tag: string): string {
  return `${namespace}\n${tag}`;
}

function add(index: Map<string, Set<string>>, name: string, id: string): void {
  const ids = index.get(name);
  if (ids === undefined) index.set(name, new Set([id]));
  else ids.add(id);
}

function remove(index: Map<string, Set<string>>, name: string, id: string): void {
  const ids = index.get(name);
  ids?.delete(id);
  if (ids?.size === 0) index.delete(name);
}
