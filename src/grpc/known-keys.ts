import type { Key } from '../coordination/words/key.js';

/** There are at most two times as many. */
const KEYS_MAX = 4_096;
/** A longer key is made again each time, so that what is kept is bounded. */
const KEY_CHARACTERS_MAX = 128;

/**
 * Keys that callers have named lately. Making one costs a tenth of a hit. Keys are not kept by namespace, so a key that
 * several namespaces use may be made again.
 */
export class KnownKeys {
  #latest = new Map<string, Key>();
  /** Not named since `#latest` was begun. */
  #before: ReadonlyMap<string, Key> = new Map();

  of(namespace: string, key: string): Key | undefined {
    const known = this.#latest.get(key);
    if (known?.namespace === namespace) return known;
    const before = this.#before.get(key);
    return before?.namespace === namespace ? this.know(before) : undefined;
  }

  /** Returns it. */
  know(key: Key): Key {
    if (key.key.length > KEY_CHARACTERS_MAX) return key;
    if (this.#latest.size >= KEYS_MAX) {
      this.#before = this.#latest;
      this.#latest = new Map();
    }
    this.#latest.set(key.key, key);
    return key;
  }
}
