import { randomUUID } from 'node:crypto';
import type { Cluster, RedisOptions } from 'ioredis';
import type { ClusterAddress } from '../config/store-url.js';
import { clusterClient, SILENT_MS_MAX } from './client.js';
import { WAKE_CHANNEL } from './keys.js';

export interface ClusterBeatsOptions {
  /** PEM: who has signed the certificates of the cluster. */
  readonly ca?: string | undefined;
  /** Called for masters that accept no beat. */
  readonly onError: (error: Error) => void;
  /** Wakes of a master may be lost that were sent before this. */
  readonly onGap: () => void;
}

/** A beat that arrived. */
interface Beat {
  readonly number: number;
  readonly atMs: number;
}

/**
 * In a Redis Cluster the subscription is at one node, and a wake is published at the master of its key, which forwards
 * it to the other nodes. If one of these links is broken, the subscription works but some wakes are missing. So a beat
 * goes through every master, and the channel is live only while all of them arrive. A beat that never came shows, once a
 * later one comes, that wakes of its master may be lost too.
 */
export class ClusterBeats {
  readonly #client: Cluster;
  readonly #id = randomUUID();
  /** The last beat through each master that arrived, by the master's address. */
  readonly #heard = new Map<string, Beat>();
  #sent = 0;
  readonly #onError: (error: Error) => void;
  readonly #onGap: () => void;

  /** Connects in the background. */
  constructor(address: ClusterAddress, { ca, onError, onGap }: ClusterBeatsOptions) {
    this.#onError = onError;
    this.#onGap = onGap;
    this.#client = clusterClient(address, 'dibs-beat', { socketTimeout: SILENT_MS_MAX, ca });
    this.#client.on('error', onError);
  }

  /** Sends a beat through every master that the cluster has now. */
  send(): void {
    this.#sent += 1;
    for (const master of this.#client.nodes('master')) {
      const at = addressOf(master.options);
      // A cluster that fails over has other masters from one beat to the next.
      const beat = `beat:${this.#id}:${this.#sent}:${at}`;
      master.publish(WAKE_CHANNEL, beat).catch((error: Error) => this.#onError(error));
    }
  }

  /** Whether the message is a beat, of this replica or of another. */
  hears(message: string): boolean {
    if (!message.startsWith('beat:')) return false;
    const [, id, number, ...at] = message.split(':');
    if (id === this.#id) this.#came(at.join(':'), Number(number));
    return true;
  }

  /** Whether beats of all masters arrived within this time. False before the cluster is known. */
  heardWithin(ms: number): boolean {
    const masters = this.#client.nodes('master').map(({ options }) => addressOf(options));
    for (const at of this.#heard.keys()) if (!masters.includes(at)) this.#heard.delete(at);
    const sinceMs = performance.now() - ms;
    return masters.length > 0 && masters.every((at) => (this.#heard.get(at)?.atMs ?? 0) > sinceMs);
  }

  close(): void {
    this.#client.disconnect();
  }

  /** The link may have been broken since the last beat, and before the first one of a master. */
  #came(at: string, number: number): void {
    const isNext = this.#heard.get(at)?.number === number - 1;
    this.#heard.set(at, { number, atMs: performance.now() });
    if (!isNext) this.#onGap();
  }
}

function addressOf({ host, port }: RedisOptions): string {
  return `${host}:${port}`;
}
