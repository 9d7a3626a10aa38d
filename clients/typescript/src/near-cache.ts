import { LRUCache } from 'lru-cache';
import { type Change, type CopyHolder, named, type Watch } from './changes.js';
import { type Clock, SYSTEM_CLOCK } from './clock.js';
import { DibsError } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';

export interface NearCacheOptions {
  /** The bound of values and keys, in bytes. The least recently used go first. */
  readonly maxBytes: number;
  /** Namespaces whose values are kept, at most 64. Default: the client's own. */
  readonly namespaces?: readonly string[];
}

/** A request under way. Its answer may fill the cache unless something changes in the meantime. */
export interface Asking {
  readonly id: string;
  readonly namespace: string;
  readonly watch: Watch;
  readonly sentMs: number;
  /** How many changes by tag had come when it was sent. */
  readonly since: number;
  overtaken: boolean;
}

/** Requests for many keys that travel together. */
export interface AskingMany {
  answered(answer: wire.GetOrLockManyResponse): void;
  /** No more answers come. */
  end(): void;
}

interface Entry {
  /** The published bytes; null if the source has nothing. */
  readonly value: Buffer | null;
  readonly freshUntilMs: number;
  readonly namespace: string;
  /** The session that reports its changes. */
  readonly watch: Watch;
  readonly since: number;
  /** undefined if the replica does not report them: any tag may be one of them. */
  readonly tags: readonly string[] | undefined;
}

const NAMESPACES_MAX = 64;
/** The size of an entry without its key and its value. */
const ENTRY_BYTES = 200;
/** Beyond this many, a change by tag drops all values of its namespace. */
const TAGS_KEPT_MAX = 10_000;

/** The changes by tag of one namespace, each with its position in the order of all of them. */
class TagChanges {
  /** All earlier values are void, with any tags. */
  floor = 0;
  latest = 0;
  readonly #byTag = new Map<string, number>();

  note(tags: readonly string[], at: number): void {
    this.latest = at;
    for (const tag of tags) this.#byTag.set(tag, at);
    if (this.#byTag.size > TAGS_KEPT_MAX) this.drop(at);
  }

  drop(at: number): void {
    this.#byTag.clear();
    this.floor = at;
    this.latest = at;
  }

  /** Whether a value with these tags, requested when `since` changes had come, is still valid. */
  spare(tags: readonly string[] | undefined, since: number): boolean {
    if (since >= this.latest) return true;
    if (since < this.floor || tags === undefined) return false;
    return tags.every((tag) => (this.#byTag.get(tag) ?? 0) <= since);
  }
}

/**
 * Fresh values in this process's memory, as long as the service reports changes. Every session watches the namespaces.
 * An answer fills the cache only if nothing was reported since its request was sent. An entry is served only while its
 * session is live. Everything is dropped when a session breaks.
 *
 * The time of an entry counts from when its request was sent: the answer may lie unread for seconds if this process
 * stands still. The price: a request that waits for a rebuild loses the time of its wait.
 */
export class NearCache implements CopyHolder {
  readonly namespaces: readonly string[];
  readonly #entries: LRUCache<string, Entry>;
  /** If enabled: what was dropped because changes may have been missed, until the service is back. */
  readonly #left: LRUCache<string, Entry> | undefined;
  /** In this namespace, keys are their own ids, because building an id costs more than looking it up. */
  readonly #bare: string;
  readonly #tags: ReadonlyMap<string, TagChanges>;
  readonly #asking = new Set<Asking>();
  #changes = 0;

  constructor(
    { maxBytes, namespaces }: NearCacheOptions,
    ownNamespace: string,
    keepsWhatIsLeft = false,
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {
    if (!(Number.isInteger(maxBytes) && maxBytes > 0)) {
      throw new DibsError(
        'INVALID_ARGUMENT',
        `nearCache.maxBytes: ${maxBytes} is not a whole number above 0`,
      );
    }
    this.namespaces = [...new Set((namespaces ?? [ownNamespace]).map(named))];
    if (this.namespaces.length > NAMESPACES_MAX) {
      const count = this.namespaces.length;
      throw new DibsError(
        'INVALID_ARGUMENT',
        `nearCache.namespaces: ${count} are more than ${NAMESPACES_MAX}`,
      );
    }
    for (const name of this.namespaces) checkNamespace(name);
    this.#bare = this.namespaces[0] ?? '';
    this.#tags = new Map(this.namespaces.map((namespace) => [namespace, new TagChanges()]));
    this.#entries = entriesOf(maxBytes);
    this.#left = keepsWhatIsLeft ? entriesOf(maxBytes) : undefined;
  }

  /** The fresh value of a key, null for a known absence; undefined if nothing is known. */
  get(namespace: string, key: string): Buffer | null | undefined {
    const entry = this.#entries.get(this.#idOf(namespace, key));
    return entry !== undefined && this.#counts(entry) && entry.watch.isLive ? entry.value : undefined;
  }

  /** The value that was fresh when the service last answered. Serve it only as stale. */
  left(namespace: string, key: string): Buffer | null | undefined {
    const entry = this.#left?.get(this.#idOf(namespace, key));
    return entry !== undefined && this.#counts(entry) ? entry.value : undefined;
  }

  /** Call it before a request is sent over a session; undefined if its answer is not kept. */
  ask(namespace: string, key: string, watch: Watch): Asking | undefined {
    const name = named(namespace);
    if (!this.#tags.has(name)) return undefined;
    const asking = {
      ...{ id: this.#idOf(namespace, key), namespace: name, watch, sentMs: this.clock.nowMs() },
      ...{ since: this.#changes, overtaken: false },
    };
    this.#asking.add(asking);
    return asking;
  }

  /** Ends a request, with the answer if there was one. */
  answered(asking: Asking, response: wire.GetOrLockResponse | undefined): void {
    this.#asking.delete(asking);
    if (response !== undefined) this.#dropOlder(asking);
    const { outcome } = response ?? {};
    if (asking.overtaken || outcome?.$case !== 'hit') return;
    const { payload, freshForMs, tags } = outcome.value;
    if (payload === undefined || !(freshForMs > 0)) return;
    const { namespace, watch, since } = asking;
    const freshUntilMs = asking.sentMs + freshForMs;
    // A copy, because the message it came in, up to a megabyte, must not live as long as it does.
    const value = payload.$case === 'value' ? Buffer.from(payload.value) : null;
    const entry = { value, freshUntilMs, namespace, watch, since, tags: tags?.names };
    if (this.#counts(entry)) this.#entries.set(asking.id, entry);
  }

  /** The same for many keys of one namespace, whose answers come one by one. */
  askMany(namespace: string, keys: readonly string[], watch: Watch): AskingMany {
    const open = new Map<string, Asking>();
    for (const key of keys) {
      const asking = open.has(key) ? undefined : this.ask(namespace, key, watch);
      if (asking !== undefined) open.set(key, asking);
    }
    const answered = (key: string, response: wire.GetOrLockResponse | undefined) => {
      const asking = open.get(key);
      open.delete(key);
      if (asking !== undefined) this.answered(asking, response);
    };
    return {
      answered: ({ key, result }) => answered(key, result?.$case === 'response' ? result.value : undefined),
      end: () => {
        for (const key of open.keys()) answered(key, undefined);
      },
    };
  }

  /** A copy that this session does not keep up to date may be older than its answer. */
  #dropOlder({ id, watch }: Asking): void {
    this.#left?.delete(id);
    if (this.#left !== undefined && this.#entries.peek(id)?.watch !== watch) this.#entries.delete(id);
  }

  /** The service has answered without a session. A copy from before may be older. */
  answeredWithoutSession(namespace: string, key: string): void {
    this.changed({ namespace, keys: [key], tags: [], all: false });
  }

  /** The service reports what has changed, or this client has changed it. */
  changed({ namespace, keys, tags, all }: Change): void {
    const name = named(namespace);
    if (all || tags.length > 0) {
      this.#changes += 1;
      if (all) this.#tags.get(name)?.drop(this.#changes);
      else this.#tags.get(name)?.note(tags, this.#changes);
    }
    if (keys.length === 0) return;
    const ids = new Set(keys.map((key) => this.#idOf(namespace, key)));
    for (const id of ids) {
      this.#entries.delete(id);
      this.#left?.delete(id);
    }
    for (const asking of this.#asking) if (ids.has(asking.id)) asking.overtaken = true;
  }

  missed(): void {
    for (const asking of this.#asking) asking.overtaken = true;
    for (const [id, entry] of this.#left === undefined ? [] : this.#entries.entries()) {
      if (this.#counts(entry)) this.#left?.set(id, entry);
    }
    this.#entries.clear();
  }

  /** The service is reached, and says what is fresh. */
  began(): void {
    this.serviceIsBack();
  }

  /** The service answers, perhaps without a session. What was kept for its absence is dropped. */
  serviceIsBack(): void {
    if (this.#left === undefined) return;
    this.#left.clear();
    // A silent session may have missed a change. At its end, its entries would be kept for the next absence.
    for (const [id, { watch }] of this.#entries.entries()) if (!watch.isLive) this.#entries.delete(id);
  }

  #counts({ freshUntilMs, namespace, tags, since }: Entry): boolean {
    return this.clock.nowMs() < freshUntilMs && this.#tags.get(namespace)?.spare(tags, since) === true;
  }

  #idOf(namespace: string, key: string): string {
    const name = named(namespace);
    // No bare key begins with a zero character, so no two keys share an id.
    return name === this.#bare && key.charCodeAt(0) !== 0 ? key : `\0${name}\0${key}`;
  }
}

/** The service would refuse each session because of it, so nothing would ever be kept. */
function checkNamespace(name: string): void {
  if (/^[A-Za-z0-9_.-]{1,64}$/.test(name)) return;
  throw new DibsError(
    'INVALID_ARGUMENT',
    `nearCache.namespaces: ${JSON.stringify(name)} is not 1 to 64 of A-Z a-z 0-9 _ . -`,
  );
}

/** It bounds the bytes only. Freshness is checked at each read: its own clock would count from when an entry is set. */
function entriesOf(maxBytes: number): LRUCache<string, Entry> {
  return new LRUCache({
    maxSize: maxBytes,
    sizeCalculation: ({ value, tags = [] }, id) =>
      tags.reduce(
        (sum, tag) => sum + 2 * tag.length + 16,
        ENTRY_BYTES + 2 * id.length + (value?.byteLength ?? 0),
      ),
  });
}
