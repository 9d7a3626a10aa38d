import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import Redlock from 'redlock';
import { MetaClient } from './meta-client.js';

/** Where the recipes keep values and locks. */
export interface Nodes {
  readonly store: { readonly url: string };
  readonly lockNodes: readonly { readonly url: string }[];
}

/** The usual recipes, written with ioredis and redlock directly, on the same nodes. */
export class Recipe {
  readonly store: Redis;
  readonly #nodes: Redis[];
  readonly #redlock: Redlock;

  constructor(nodes: Nodes, { pipelining = false } = {}) {
    const options = { enableAutoPipelining: pipelining };
    this.store = new Redis(nodes.store.url, options);
    this.#nodes = nodes.lockNodes.map(({ url }) => new Redis(url, options));
    // One attempt a call, because the recipe itself decides when to retry. Its types are those of another version of
    // ioredis.
    const clients = this.#nodes as unknown as ConstructorParameters<typeof Redlock>[0];
    this.#redlock = new Redlock(clients, { retryCount: 0 });
  }

  /** Until the value exists: takes the lock and rebuilds, or sleeps and reads again. */
  async getOrRebuild(key: string, rebuild: () => Promise<Buffer>, sleepMs = 100): Promise<Buffer> {
    for (;;) {
      const value = await this.store.getBuffer(key);
      if (value !== null) return value;
      const rebuilt = await this.cycle(key, rebuild);
      if (rebuilt !== undefined) return rebuilt;
      await sleep(sleepMs);
    }
  }

  /** Lock, read again, rebuild, store, unlock. Undefined if another caller has the lock. */
  async cycle(key: string, rebuild: () => Promise<Buffer>): Promise<Buffer | undefined> {
    let lock: Awaited<ReturnType<Redlock['acquire']>>;
    try {
      lock = await this.#redlock.acquire([`lock:${key}`], 10_000);
    } catch {
      return undefined;
    }
    let value = await this.store.getBuffer(key);
    if (value === null) {
      value = await rebuild();
      await this.store.set(key, value, 'PX', 3_600_000);
    }
    await lock.release();
    return value;
  }

  close(): void {
    this.store.disconnect();
    for (const node of this.#nodes) node.disconnect();
  }
}

/** The recipe of memcached's own protocol, with no lock nodes: one caller of a miss wins, and all others poll. */
export class MetaRecipe {
  readonly #client: MetaClient;

  constructor(port: number) {
    this.#client = new MetaClient(port);
  }

  /** Until the value exists. A winner that is gone is replaced after 30 s. */
  async getOrRebuild(key: string, rebuild: () => Promise<Buffer>, sleepMs = 100): Promise<Buffer> {
    for (;;) {
      const { value, flags } = await this.#client.get(key, 'v', 'N30', 't');
      if (flags.includes('W')) {
        const rebuilt = await rebuild();
        await this.#client.set(key, rebuilt, 3_600);
        return rebuilt;
      }
      // The empty value is the one that memcached made for the winner.
      if (value !== undefined && value.byteLength > 0) return value;
      await sleep(sleepMs);
    }
  }

  close(): void {
    this.#client.close();
  }
}
