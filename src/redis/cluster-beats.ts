import { randomUUID } from 'node:crypto';
import type { Cluster, Redis, RedisOptions } from 'ioredis';
import type { ClusterAddress } from '../config/store-url.js';
import { clusterClient, SILENT_MS_MAX } from './client.js';
import { WAKE_CHANNEL } from './keys.js';

export interface ClusterBeatsOptions {
  /** PEM: the authorities of the cluster's certificates. */
  readonly ca?: string | undefined;
  /** Called for masters that accept no beat. */
  readonly onError: (error: Error) => void;
  /** Wakes of a master that were sent before this may be lost. */
  readonly onGap: () => void;
  /** Called once if the user may not ask about links. */
  readonly onLinksHidden: (error: Error) => void;
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
 * later one comes, that wakes of its master may be lost too. A link that breaks and is made again between two beats loses
 * none of them, so each master is also asked since when it has its link.
 */
export class ClusterBeats {
  readonly #client: Cluster;
  readonly #id = randomUUID();
  /** The last beat through each master that arrived, by the master's address. */
  readonly #heard = new Map<string, Beat>();
  #sent = 0;
  /** The cluster's id of the node with the subscription. Undefined if it is not known. */
  #subscribedAt: string | undefined;
  /** Since when each master has had its link to that node, by the master's address. 0 if it has none, as to itself. */
  readonly #linkedSince = new Map<string, number>();
  /** False if the servers do not: Redis before 7, or the user may not ask. */
  #tellLinks = true;
  readonly #onError: (error: Error) => void;
  readonly #onGap: () => void;
  readonly #onLinksHidden: (error: Error) => void;

  /** Connects in the background. */
  constructor(address: ClusterAddress, { ca, onError, onGap, onLinksHidden }: ClusterBeatsOptions) {
    this.#onError = onError;
    this.#onGap = onGap;
    this.#onLinksHidden = onLinksHidden;
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
      this.#askForLink(master, at);
    }
  }

  /** This connection is going to subscribe. Rejects if it breaks. */
  async subscribes(client: Redis): Promise<void> {
    this.#subscribedAt = undefined;
    this.#linkedSince.clear();
    if (!this.#tellLinks) return;
    try {
      this.#subscribedAt = String(await client.call('CLUSTER', 'MYID'));
    } catch (error) {
      if (!isReply(error)) throw error;
      this.#noLinks(error);
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

  #askForLink(master: Redis, at: string): void {
    const nodeId = this.#subscribedAt;
    if (nodeId === undefined || !this.#tellLinks) return;
    master.call('CLUSTER', 'LINKS').then(
      (reply) => {
        if (this.#subscribedAt !== nodeId) return;
        const since = linkedSince(reply, nodeId);
        const isOther = (this.#linkedSince.get(at) ?? since) !== since;
        this.#linkedSince.set(at, since);
        if (isOther) this.#onGap();
      },
      // The beat reports a broken connection.
      (error) => {
        if (isReply(error)) this.#noLinks(error);
      },
    );
  }

  #noLinks(error: Error): void {
    const isForbidden = error.message.startsWith('NOPERM');
    if (isForbidden && this.#tellLinks) this.#onLinksHidden(error);
    if (isForbidden || /unknown (sub)?command/i.test(error.message)) this.#tellLinks = false;
  }

  /** The link may have been broken since the last beat, and before the first one of a master. */
  #came(at: string, number: number): void {
    const isNext = this.#heard.get(at)?.number === number - 1;
    this.#heard.set(at, { number, atMs: performance.now() });
    if (!isNext) this.#onGap();
  }
}

/** The server's own answer, and not a broken connection. */
function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}

/** Since when the answering node has had its link to this node, on its own clock. 0 if it has none. */
function linkedSince(reply: unknown, nodeId: string): number {
  for (const fields of Array.isArray(reply) ? reply : []) {
    const link = new Map<string, unknown>();
    for (let at = 0; at + 1 < fields.length; at += 2) link.set(String(fields[at]), fields[at + 1]);
    if (link.get('direction') === 'to' && link.get('node') === nodeId) return Number(link.get('create-time'));
  }
  return 0;
}

function addressOf({ host, port }: RedisOptions): string {
  return `${host}:${port}`;
}
