import { LRUCache } from 'lru-cache';
import type * as wire from './generated/dibs/v1/coordinator.js';

export interface NearCacheOptions {
  /** Of values and keys, in bytes; what was used least recently goes first. */
  readonly maxBytes: number;
  /** Namespaces whose values are kept, at most 64. Default: the client's own. */
  readonly namespaces?: readonly string[];
}

/** A question under way, by whose answer the cache may be filled unless something changes meanwhile. */
export interface Asking {
  readonly id: string;
  readonly namespace: string;
  overtaken: boolean;
}

interface Entry {
  /** Bytes as they were published; null where the source has nothing. */
  readonly value: Buffer | null;
  readonly generation: number;
}

const NAMESPACES_MAX = 64;
/** Besides its key and its value an entry has its place in the maps. */
const ENTRY_BYTES = 200;

/**
 * Fresh values in this process's memory, for as long as the service says what changes: every session watches the
 * namespaces, an answer fills the cache only where nothing was heard since its question was sent, and all is
 * forgotten when a session breaks.
 */
export class NearCache {
  readonly namespaces: readonly string[];
  readonly #entries: LRUCache<string, Entry>;
  /** Its keys are their own ids: writing an id costs more than looking it up. */
  readonly #bare: string;
  /** What was kept of a namespace before its number is void. */
  readonly #generations: Map<string, number>;
  readonly #asking = new Set<Asking>();

  constructor({ maxBytes, namespaces }: NearCacheOptions, ownNamespace: string) {
    if (!(Number.isInteger(maxBytes) && maxBytes > 0)) {
      throw new RangeError(`nearCache.maxBytes: ${maxBytes} is no whole number above 0`);
    }
    this.namespaces = [...new Set((namespaces ?? [ownNamespace]).map(named))];
    if (this.namespaces.length > NAMESPACES_MAX) {
      const count = this.namespaces.length;
      throw new RangeError(`nearCache.namespaces: ${count} are more than ${NAMESPACES_MAX}`);
    }
    this.#bare = this.namespaces[0] ?? '';
    this.#generations = new Map(this.namespaces.map((namespace) => [namespace, 0]));
    this.#entries = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ value }, id) => ENTRY_BYTES + 2 * id.length + (value?.byteLength ?? 0),
      // Bounds are exact: nothing is served a moment past its time.
      ttlResolution: 0,
      ttl: 1,
    });
  }

  /** The fresh value of a key, null for the knowledge that there is none; undefined where nothing is known. */
  get(namespace: string, key: string): Buffer | null | undefined {
    const entry = this.#entries.get(this.#idOf(namespace, key));
    if (entry === undefined) return undefined;
    return entry.generation === this.#generations.get(named(namespace)) ? entry.value : undefined;
  }

  /** To be told before a question is sent; undefined where its answer is not kept. */
  ask(namespace: string, key: string): Asking | undefined {
    const name = named(namespace);
    if (!this.#generations.has(name)) return undefined;
    const asking = { id: this.#idOf(namespace, key), namespace: name, overtaken: false };
    this.#asking.add(asking);
    return asking;
  }

  /** Ends a question, with the answer if there was one. */
  answered(asking: Asking, response: wire.GetOrLockResponse | undefined): void {
    this.#asking.delete(asking);
    const { outcome } = response ?? {};
    if (asking.overtaken || outcome?.$case !== 'hit') return;
    const { payload, freshForMs } = outcome.value;
    if (payload === undefined || !(freshForMs > 0)) return;
    // A copy: what was received with it, up to a megabyte, must not live as long as it does.
    const value = payload.$case === 'value' ? Buffer.from(payload.value) : null;
    const generation = this.#generations.get(asking.namespace) ?? 0;
    this.#entries.set(asking.id, { value, generation }, { ttl: freshForMs });
  }

  /** The service says what has changed. */
  heard({ namespace, keys, tags, all }: wire.Invalidated): void {
    // What tags a value has is not known here.
    if (all || tags.length > 0) {
      this.#generations.set(namespace, (this.#generations.get(namespace) ?? 0) + 1);
      for (const asking of this.#asking) if (asking.namespace === namespace) asking.overtaken = true;
      return;
    }
    const ids = new Set(keys.map((key) => this.#idOf(namespace, key)));
    for (const id of ids) this.#entries.delete(id);
    for (const asking of this.#asking) if (ids.has(asking.id)) asking.overtaken = true;
  }

  #idOf(namespace: string, key: string): string {
    const name = named(namespace);
    // No bare key begins with a zero character, so that none is another one's id.
    return name === this.#bare && key.charCodeAt(0) !== 0 ? key : `\0${name}\0${key}`;
  }

  /** What has changed can be heard no more. */
  forget(): void {
    this.#entries.clear();
    for (const asking of this.#asking) asking.overtaken = true;
  }
}

function named(namespace: string): string {
  return namespace === '' ? 'default' : namespace;
}
