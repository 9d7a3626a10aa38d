import type { Redis } from 'ioredis';
import type { StoreAddress } from '../config/store-url.js';
import { RunningTime } from '../coordination/degradation/running-time.js';
import type { Clock } from '../coordination/ports/clock.js';
import type { NamespaceWake, Wake, WakeChannel, WakeListener } from '../coordination/ports/wake-channel.js';
import { retryMs, singleClient } from './client.js';
import { ClusterBeats } from './cluster-beats.js';
import { WAKE_CHANNEL } from './keys.js';
import { ReplyWatch } from './reply-watch.js';
import { parseStoredWake, type StoredWake, tagsIn } from './stored-wake.js';

/**
 * Near caches are served as fresh while the channel is live, so this and the next bound how old they may be. Three pings
 * fit into the longest age of a pong, so a replica that was held up for a moment still trusts its copies.
 */
const PING_EVERY_MS = 500;
/**
 * A pong whose ping is older proves nothing: a replica that was paused must hear from the channel before it trusts its
 * copies. A store that is late makes its pongs old, and near caches wait for the next one. The subscription stays.
 */
const PONG_AGE_MS_MAX = 1_500;
/**
 * How many invalidations of tags are remembered between their new form and their old one: more than ever come between.
 */
const TWICE_TOLD_MAX = 256;

export interface RedisWakeChannelOptions {
  readonly clock: Clock;
  /** A subscription that owes a reply for this much of the process's running time is replaced. */
  readonly silenceMs: number;
  /** PEM: the authorities of the store's certificates, if it has TLS. */
  readonly ca?: string | undefined;
  /** Called with the reason when the subscription fails or breaks; again at each failed try. */
  readonly onError?: (error: Error) => void;
  /** Called when wakes are heard from now on: at each subscription, and on a cluster after each gap. */
  readonly onLive?: () => void;
  /** Called once if the user may not ask about the links of a cluster: a short break of one goes unnoticed. */
  readonly onLinksHidden?: (error: Error) => void;
  /** Anything came from the store: it is not silent. */
  readonly onHeard?: () => void;
}

/**
 * The wakes that the store's scripts publish, over its own connection. Each connection subscribes, is pinged twice a
 * second, and is thrown away for a new one at its first fault, or when it owes a reply and is silent for too long. One that
 * is only late is waited for: a new one would be late too, and would miss the wakes in between.
 */
export class RedisWakeChannel implements WakeChannel {
  readonly #address: StoreAddress;
  readonly #options: RedisWakeChannelOptions;
  readonly #onError: (error: Error) => void;
  readonly #running: RunningTime;
  readonly #listeners = new Set<WakeListener>();
  /** Only where the store is a cluster. */
  readonly #beats: ClusterBeats | undefined;
  #client: Redis | undefined;
  #watch: ReplyWatch | undefined;
  #timer: NodeJS.Timeout | undefined;
  #attempts = 0;
  /** Failed tries in a row, for the pause before the next one. */
  #failures = 0;
  #live = false;
  /** When the last ping with a pong was sent, or the subscription. */
  #provenAtMs = Number.NEGATIVE_INFINITY;
  readonly #twiceTold = new Set<string>();
  /** The wake of the last message with a value. The same without it follows, for replicas of the previous release. */
  #toldWithValue: string | undefined;
  #malformed = 0;
  #closed = false;

  /** Connects in the background. */
  constructor(address: StoreAddress, options: RedisWakeChannelOptions) {
    this.#address = address;
    this.#options = options;
    this.#onError = options.onError ?? (() => {});
    this.#running = new RunningTime(options.clock, (ms) => this.#passed(ms));
    this.#beats =
      this.#address.kind === 'cluster'
        ? new ClusterBeats(this.#address, {
            ca: options.ca,
            onError: this.#onError,
            onGap: () => this.#missed(),
            onLinksHidden: options.onLinksHidden ?? (() => {}),
          })
        : undefined;
    this.#connect();
  }

  get live(): boolean {
    const isHeard = this.#live && this.#options.clock.nowMs() - this.#provenAtMs < PONG_AGE_MS_MAX;
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
    this.#running.stop();
    this.#client?.disconnect();
    this.#beats?.close();
    this.#setLive(false);
  }

  #connect(): void {
    const client = singleClient(this.#address, this.#attempts, 'dibs-wake', { ca: this.#options.ca });
    this.#attempts += 1;
    this.#client = client;
    this.#watch = new ReplyWatch(client, () => this.#options.onHeard?.());
    // Also a handshake is watched.
    client.on('connect', () => this.#running.start());
    client.on('error', (error: Error) => this.#onError(error));
    client.on('end', () => this.#ended(client));
    client.on('messageBuffer', (_channel: Buffer, message: Buffer) => {
      // A late message of a connection that was given up no longer counts.
      if (this.#client === client) this.#heard(message);
    });
    this.#subscribe(client).catch((error: Error) => this.#failed(client, error));
  }

  async #subscribe(client: Redis): Promise<void> {
    await client.connect();
    this.#owe();
    await this.#beats?.subscribes(client);
    const sentAtMs = this.#owe();
    await client.subscribe(WAKE_CHANNEL);
    // `end` may have come while the confirmation was on its way to us.
    if (this.#client !== client || this.#closed) return;
    this.#failures = 0;
    this.#provenAtMs = sentAtMs;
    this.#setLive(true);
    this.#beats?.send();
    this.#pingLater(client);
  }

  /** Twice a second, or as soon as the pong before has come. */
  #pingLater(client: Redis): void {
    const sinceMs = this.#options.clock.nowMs() - this.#provenAtMs;
    this.#timer = setTimeout(
      () => {
        this.#beats?.send();
        const sentAtMs = this.#owe();
        client.ping().then(
          () => {
            if (this.#client !== client || this.#closed) return;
            this.#provenAtMs = sentAtMs;
            this.#pingLater(client);
          },
          (error: Error) => this.#failed(client, error),
        );
      },
      Math.max(0, PING_EVERY_MS - sinceMs),
    );
  }

  /** A reply is owed from now on. */
  #owe(): number {
    this.#running.start();
    return this.#options.clock.nowMs();
  }

  #passed(ms: number): boolean {
    const { silenceMs } = this.#options;
    const [client, watch] = [this.#client, this.#watch];
    if (client === undefined || watch === undefined) return false;
    if (watch.passed(ms) >= silenceMs) {
      this.#failed(client, new Error(`the subscription owes a reply and was silent for ${silenceMs} ms`));
      return false;
    }
    return watch.owes;
  }

  #failed(client: Redis, error: Error): void {
    if (this.#client !== client) return;
    this.#onError(error);
    // Counts as ended now, because the silent other end may confirm it late.
    this.#ended(client);
    client.disconnect();
  }

  #ended(client: Redis): void {
    if (this.#client !== client) return;
    this.#client = undefined;
    this.#watch = undefined;
    clearTimeout(this.#timer);
    this.#running.stop();
    this.#setLive(false);
    if (this.#closed) return;
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#connect(), retryMs(this.#failures));
  }

  /** Whether this is the old form of the invalidation that has just come in its new form. */
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
    if (live) this.#options.onLive?.();
    for (const listener of this.#listeners) {
      if (live) listener.resubscribed();
      else listener.disconnected();
    }
  }

  /** Wakes may be lost although the subscription is there: the same as a new one. */
  #missed(): void {
    if (!this.#live) return;
    this.#options.onLive?.();
    for (const listener of this.#listeners) listener.resubscribed();
  }

  #heard(bytes: Buffer): void {
    const stored = parseStoredWake(bytes);
    const message = stored?.plain ?? bytes.toString();
    if (this.#beats?.hears(message) === true) return;
    if (stored === undefined && message === this.#toldWithValue) {
      this.#toldWithValue = undefined;
      return;
    }
    const wake = stored === undefined ? parseWake(message) : withValue(stored, this.#provenAtMs);
    if (stored !== undefined) this.#toldWithValue = wake && message;
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

/** The value was stored after the last ping was sent whose pong has come. */
function withValue({ plain, decode }: StoredWake, provenAtMs: number): Wake | undefined {
  const wake = parseWake(plain);
  return wake?.kind === 'published' ? { ...wake, stored: () => decode(provenAtMs) } : undefined;
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
 * `tags:CLOCK:NAME`, as the previous release tells it. Undefined for anything else.
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
