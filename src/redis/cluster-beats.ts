import { randomUUID } from 'node:crypto';
import type { Cluster, RedisOptions } from 'ioredis';
import type { ClusterAddress } from '../config/store-url.js';
import { clusterClient, SILENT_MS_MAX } from './client.js';
import { WAKE_CHANNEL } from './keys.js';

/**
 * In a Redis Cluster the subscription is at one node, and a wake is published at the master of its key, which forwards
 * it to the other nodes. If one of these links is broken, the subscription works but some wakes are missing. So a beat
 * goes through every master, and the channel is live only while all of them arrive.
 */
export class ClusterBeats {
  readonly #client: Cluster;
  readonly #id = randomUUID();
  /** When the last beat through each master arrived, by the master's address. */
  readonly #heardAtMs = new Map<string, number>();

  /** Connects in the background. `onError` is called for masters that accept no beat. */
  constructor(
    address: ClusterAddress,
    private readonly onError: (error: Error) => void,
    ca?: string,
  ) {
    this.#client = clusterClient(address, 'dibs-beat', { socketTimeout: SILENT_MS_MAX, ca });
    this.#client.on('error', onError);
  }

  /** Sends a beat through every master that the cluster has now. */
  send(): void {
    for (const master of this.#client.nodes('master')) {
      const at = addressOf(master.options);
      // A cluster that fails over has other masters from one beat to the next.
      master.publish(WAKE_CHANNEL, `beat:${this.#id}:${at}`).catch((error: Error) => this.onError(error));
    }
  }

  /** Whether the message is a beat, of this replica or of another. */
  hears(message: string): boolean {
    if (!message.startsWith('beat:')) return false;
    const [, id, ...at] = message.split(':');
    if (id === this.#id) this.#heardAtMs.set(at.join(':'), performance.now());
    return true;
  }

  /** Whether beats of all masters arrived within this time. False before the cluster is known. */
  heardWithin(ms: number): boolean {
    const masters = this.#client.nodes('master').map(({ options }) => addressOf(options));
    for (const at of this.#heardAtMs.keys()) if (!masters.includes(at)) this.#heardAtMs.delete(at);
    const sinceMs = performance.now() - ms;
    return masters.length > 0 && masters.every((at) => (this.#heardAtMs.get(at) ?? 0) > sinceMs);
  }

  close(): void {
    this.#client.disconnect();
  }
}

function addressOf({ host, port }: RedisOptions): string {
  return `${host}:${port}`;
}
