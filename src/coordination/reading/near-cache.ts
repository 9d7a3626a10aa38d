import type { Key } from '../words/key.js';
import type { StoredValue } from '../words/record.js';
import { Recency, type Used } from './recency.js';
import type { Snapshot } from './snapshot.js';

/** An entry without its id and value: records, snapshots and their map entries; `npm run bench -- footprint`. */
const ENTRY_BYTES = 1_800;
/** A tag without its letters: its text, its name in the index and its set there; `npm run bench -- footprint`. */
const TAG_BYTES = 400;

interface Entry extends Used {
  readonly id: string;
  readonly namespace: string;
  readonly snapshot: Snapshot;
  readonly bytes: number;
}

/**
 * Snapshots of fresh values in this replica's memory, the least recently used dropped first. A changed value is dropped
 * when its wake comes. While the wake channel is down, do not trust any as fresh.
 */
export class NearCache {
  readonly #entries = new Map<string, Entry>();
  readonly #byNamespace = new Map<string, Set<string>>();
  /** Ids by namespace and tag: no namespace contains a line feed. */
  readonly #byTag = new Map<string, Set<string>>();
  readonly #uses = new Recency<Entry>();
  #bytes = 0;

  /** `bytesMax` of 0 keeps nothing. */
  constructor(private readonly bytesMax: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps the result of a read unless it is too large. No change of it may have arrived since the read was sent. */
  fill({ id, namespace }: Key, snapshot: Snapshot): void {
    const { value } = snapshot.record;
    if (value === undefined) return;
    const payloadBytes = value.payload.kind === 'value' ? value.payload.bytes.byteLength : 0;
    const tagBytes = value.tags.reduce((sum, tag) => sum + 2 * tag.length + TAG_BYTES, 0);
    const bytes = payloadBytes + 2 * id.length + tagBytes + ENTRY_BYTES;
    if (bytes > this.bytesMax) return;
    this.drop(id);
    const entry = {
      id,
      namespace,
      snapshot: keptOf(snapshot, value),
      bytes,
      newer: undefined,
      older: undefined,
    };
    this.#entries.set(id, entry);
    this.#uses.add(entry);
    this.#bytes += bytes;
    add(this.#byNamespace, namespace, id);
    for (const tag of value.tags) add(this.#byTag, tagOf(namespace, tag), id);
    for (let oldest = this.#uses.oldest; this.#bytes > this.bytesMax && oldest; oldest = this.#uses.oldest)
      this.drop(oldest.id);
  }

  get(id: string): Snapshot | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    this.#uses.use(entry);
    return entry.snapshot;
  }

  /** What it has, fresh or not. This does not count as a use, so the entry is not kept longer. */
  peek(id: string): Snapshot | undefined {
    return this.#entries.get(id)?.snapshot;
  }

  /** The value that it has, fresh or not, so that a read need not transfer it again. */
  known(id: string): StoredValue | undefined {
    return this.#entries.get(id)?.snapshot.record.value;
  }

  /**
   * For use while the store is lost: the value that it had. Treat it as stale, because changes may have been missed.
   */
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

  /** All of the namespace was invalidated, or an unknown part of it. */
  dropNamespace(namespace: string): void {
    for (const id of this.#byNamespace.get(namespace) ?? []) this.drop(id);
  }

  clear(): void {
    this.#entries.clear();
    this.#uses.clear();
    this.#byNamespace.clear();
    this.#byTag.clear();
    this.#bytes = 0;
  }

  /** The key changed, at any fence. */
  drop(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#uses.remove(entry);
    this.#bytes -= entry.bytes;
    remove(this.#byNamespace, entry.namespace, id);
    for (const tag of entry.snapshot.record.value?.tags ?? [])
      remove(this.#byTag, tagOf(entry.namespace, tag), id);
  }
}

/**
 * No hit needs the last holder, or how the last lease ended. Callers choose the length of these texts. Field by field,
 * because objects that were made by spreading may each have a shape of their own. Reads of their fields are then slow:
 * they took a sixth of the time of a hit.
 */
function keptOf(snapshot: Snapshot, value: StoredValue): Snapshot {
  const { record, uncounted, readAtMs, heardAtMs, arrivals, from, missing, degraded, sentAt, namespace } =
    snapshot;
  const { fence, valueFence, rebuild } = record;
  const { payload, freshForMs, servableForMs, staleMs, ageMs, clock, tags } = value;
  const kept = { payload, freshForMs, servableForMs, staleMs, ageMs, fence: value.fence, clock, tags };
  return {
    record: { fence, valueFence, value: kept, rebuild },
    uncounted,
    readAtMs,
    heardAtMs,
    arrivals,
    from,
    missing,
    degraded,
    sentAt,
    namespace,
  };
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
