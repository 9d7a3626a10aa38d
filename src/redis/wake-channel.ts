import type { Redis } from 'ioredis';
import type { StoreAddress } from '../config/store-url.js';
import type { NamespaceWake, Wake, WakeChannel, WakeListener } from '../coordination/ports/wake-channel.js';
import { retryMs, singleClient } from './client.js';
import { ClusterBeats } from './cluster-beats.js';
import { WAKE_CHANNEL } from './keys.js';

/** Near caches are served as fresh while the channel is live: this and the next bound their delusion. */
const PING_EVERY_MS = 1_000;
/** A pong that is older proves nothing: a replica that was paused must hear from the channel before it trusts its copies. */
const PONG_AGE_MS_MAX = 1_500;
/** Invalidations of tags that came in the new form, and will come in the old one: more than are ever between the two. */
const TWICE_TOLD_MAX = 256;
/** As long as a step on the store may take, with room for a burst of wakes before the pong. */
const PING_TIMEOUT_MS = 500;

export interface RedisWakeChannelOptions {
  /** PEM: the authorities that sign the certificate of a `rediss://` store. */
  readonly ca?: string | undefined;
  /** Called with the reason when the subscription fails or breaks; again at each failed try. */
  readonly onError?: (error: Error) => void;
  /** Anything came from the store: it is not silent. */
  readonly onHeard?: () => void;
}

/**
 * The wakes that the store's scripts publish, over its own connection. Each connection subscribes,
 * is pinged every second, and is thrown away at its first fault for a new one.
 */
export class RedisWakeChannel implements WakeChannel {
  readonly #address: StoreAddress;
  readonly #ca: string | undefined;
  readonly #onError: (error: Error) => void;
  readonly #onHeard: () => void;
  readonly #listeners = new Set<WakeListener>();
  /** Only where the store is a cluster. */
  readonly #beats: ClusterBeats | undefined;
  #client: Redis | undefined;
  #timer: NodeJS.Timeout | undefined;
  #attempts = 0;
  /** Failed tries in a row, for the pause before the next one. */
  #failures = 0;
  #live = false;
  /** When the last pong came, or the confirmation, on this process's monotonic clock. */
  #pongAtMs = 0;
  readonly #twiceTold = new Set<string>();
  #malformed = 0;
  #closed = false;

  /** Connects in the background. */
  constructor(address: StoreAddress, options: RedisWakeChannelOptions = {}) {
    this.#address = address;
    this.#ca = options.ca;
    this.#onError = options.onError ?? (() => {});
    this.#onHeard = options.onHeard ?? (() => {});
    this.#beats =
      this.#address.kind === 'cluster' ? new ClusterBeats(this.#address, this.#onError) : undefined;
    this.#connect();
  }

  get live(): boolean {
    const isHeard = this.#live && performance.now() - this.#pongAtMs < PONG_AGE_MS_MAX;
    return isHeard && this.#beats?.heardWithin(PONG_AGE_MS_MAX) !== false;
  }

  /** Messages that were no wake and were ignored: another program publishes on our channel. */
  get malformed(): number {
    return this.#malformed;
  }

  listen(listener: WakeListener): () => void {
    // Each call has its own listener: the same object may listen twice.
    const own: WakeListener = {
      wake: (wake) => listener.wake(wake),
      namespaceWake: (wake) => listener.namespaceWake(wake),
      resubscribed: () => listener.resubscribed(),
      disconnected: () => listener.disconnected(),
    };
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#client?.disconnect();
    this.#beats?.close();
    this.#setLive(false);
  }

  #connect(): void {
    const client = singleClient(this.#address, this.#attempts, 'dibs-wake', this.#ca);
    this.#attempts += 1;
    this.#client = client;
    client.on('error', (error: Error) => this.#onError(error));
    client.on('end', () => this.#ended(client));
    client.on('message', (_channel: string, message: string) => this.#heard(message));
    this.#subscribe(client).catch((error: Error) => {
      if (this.#client !== client) return;
      this.#onError(error);
      this.#ended(client);
      client.disconnect();
    });
  }

  async #subscribe(client: Redis): Promise<void> {
    await client.connect();
    await inTime(client.subscribe(WAKE_CHANNEL), 'the confirmation of the subscription');
    // `end` may have come while the confirmation was on its way to us.
    if (this.#client !== client || this.#closed) return;
    this.#failures = 0;
    this.#pongAtMs = performance.now();
    this.#setLive(true);
    this.#beats?.send();
    this.#pingLater(client);
  }

  #pingLater(client: Redis): void {
    this.#timer = setTimeout(() => {
      this.#beats?.send();
      inTime(client.ping(), 'the answer to a ping').then(
        () => {
          if (this.#client !== client || this.#closed) return;
          this.#pongAtMs = performance.now();
          this.#onHeard();
          this.#pingLater(client);
        },
        (error: Error) => {
          if (this.#client !== client) return;
          this.#onError(error);
          // Over from now on, and not only once the silent other end has confirmed that it is.
          this.#ended(client);
          client.disconnect();
        },
      );
    }, PING_EVERY_MS);
  }

  #ended(client: Redis): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    clearTimeout(this.#timer);
    this.#setLive(false);
    if (this.#closed) return;
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), retryMs(this.#failures));
  }

  /** Whether this is the old form of what was told in the new one just before. */
  #isToldAgain(message: string, time: number | undefined): boolean {
    if (time === undefined) return this.#twiceTold.delete(message);
    for (const oldest of this.#twiceTold) {
      if (this.#twiceTold.size < TWICE_TOLD_MAX) break;
      this.#twiceTold.delete(oldest);
    }
    this.#twiceTold.add(oldFormOf(time, message));
    return false;
  }

  #setLive(live: boolean): void {
    if (this.#live === live) return;
    this.#live = live;
    for (const listener of this.#listeners) {
      if (live) listener.resubscribed();
      else listener.disconnected();
    }
  }

  #heard(message: string): void {
    this.#onHeard();
    if (this.#beats?.hears(message) === true) return;
    const wake = parseWake(message);
    const namespaceWake = wake === undefined ? parseNamespaceWake(message) : undefined;
    if (wake === undefined && namespaceWake === undefined) this.#malformed += 1;
    if (namespaceWake?.kind === 'tags' && this.#isToldAgain(message, namespaceWake.wake?.time)) return;
    for (const listener of this.#listeners) {
      if (wake !== undefined) listener.wake(wake);
      else if (namespaceWake !== undefined) listener.namespaceWake(namespaceWake);
    }
  }
}

/** The script publishes an invalidation of tags twice: in the new form, and in the old one for older replicas. */
function oldFormOf(time: number, message: string): string {
  const [, , name = ''] = message.split(':', 3);
  return `tags:${time}:${name}`;
}

const WAKE = /^(published|released|failed|invalidated):(\d{1,16}):([A-Za-z0-9_-]+)$/;

/** `KIND:FENCE:ID`, as the scripts publish it. Undefined for anything else. */
export function parseWake(message: string): Wake | undefined {
  const [, kind, fence, id] = WAKE.exec(message) ?? [];
  if (kind === undefined || id === undefined) return undefined;
  return { kind: kind as Wake['kind'], fence: Number(fence), id };
}

const STAMPED = /^stamped:(\d{1,16}):([A-Za-z0-9_-]+):([^:]+):(all|\[.*\])$/s;
const NAMESPACE_WAKE = /^(tags|room):\d{1,16}:([A-Za-z0-9_-]+)$/;

/**
 * `stamped:CLOCK:NAME:ID:TAGS`, with the name as base64url and the tags as JSON, or `all`; `room:0:NAME`; or
 * `tags:CLOCK:NAME`, as the release before tells it. Undefined for anything else.
 */
export function parseNamespaceWake(message: string): NamespaceWake | undefined {
  const [, time, stamped, clockId, named] = STAMPED.exec(message) ?? [];
  if (stamped !== undefined && clockId !== undefined && named !== undefined) {
    const tags = named === 'all' ? [] : tagsIn(named);
    if (tags === undefined) return undefined;
    const wake = { clockId, time: Number(time), tags, all: named === 'all' };
    return { namespace: nameOf(stamped), kind: 'tags', wake };
  }
  const [, kind, name] = NAMESPACE_WAKE.exec(message) ?? [];
  if (name === undefined) return undefined;
  const namespace = nameOf(name);
  return kind === 'room' ? { namespace, kind } : { namespace, kind: 'tags', wake: undefined };
}

function nameOf(id: string): string {
  return Buffer.from(id, 'base64url').toString('utf8');
}

function tagsIn(json: string): string[] | undefined {
  try {
    const tags = JSON.parse(json) as unknown;
    return Array.isArray(tags) && tags.every((tag) => typeof tag === 'string') ? tags : undefined;
  } catch {
    // Another program publishes on our channel: this is no wake.
    return undefined;
  }
}

/** Rejects when `what` has not come within the ping's time-out. */
async function inTime<T>(reply: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      // Timers run before sockets are read: after a stall of this process the reply may be there already.
      setImmediate(() => reject(new Error(`${what} did not come within ${PING_TIMEOUT_MS} ms`)));
    }, PING_TIMEOUT_MS);
  });
  try {
    return await Promise.race([reply, late]);
  } finally {
    clearTimeout(timer);
  }
}
