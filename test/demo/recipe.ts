import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import Redlock from 'redlock';
import type { Answered, Origin } from '../support/stampede.js';

/** How long the usual recipe sleeps before it reads again. */
const SLEEP_MS = 100;
const TTL_MS = 60_000;

/** What services do without Dibs: a cache in Redis, without protection or with Redlock. */
export class Recipe {
  readonly #cache: Redis;
  readonly #nodes: Redis[];
  readonly #redlock: Redlock;

  constructor(
    storeUrl: string,
    readonly nodeUrls: readonly string[],
    private readonly leaseMs: number,
  ) {
    this.#cache = new Redis(storeUrl);
    this.#nodes = nodeUrls.map((url) => new Redis(url));
    this.#redlock = new Redlock(this.#nodes, { retryCount: 0 });
  }

  /** Reads the value, and rebuilds it on a miss. */
  async unprotected(key: string, origin: Origin): Promise<Answered> {
    const startedAtMs = performance.now();
    const text = (await this.#cache.get(key)) ?? (await this.#rebuild(key, origin));
    return answered(key, text, startedAtMs);
  }

  /** Reads the value. On a miss, rebuilds it under a Redlock, or sleeps and reads again. */
  async redlocked(key: string, origin: Origin): Promise<Answered> {
    const startedAtMs = performance.now();
    for (;;) {
      const known = await this.#cache.get(key);
      if (known !== null) return answered(key, known, startedAtMs);
      const lock = await this.#redlock.acquire([`lock:${key}`], this.leaseMs).catch(() => undefined);
      if (lock === undefined) {
        await sleep(SLEEP_MS);
        continue;
      }
      // Another caller may have rebuilt it between our read and our lock.
      const text = (await this.#cache.get(key)) ?? (await this.#rebuild(key, origin));
      await lock.release().catch(() => {}); // It has expired, and another caller may have it.
      return answered(key, text, startedAtMs);
    }
  }

  async #rebuild(key: string, origin: Origin): Promise<string> {
    const text = await origin.rebuild(key);
    await this.#cache.set(key, text, 'PX', TTL_MS);
    return text;
  }

  close(): void {
    for (const redis of [this.#cache, ...this.#nodes]) redis.disconnect();
  }
}

function answered(key: string, text: string, startedAtMs: number): Answered {
  return { key, text, tookMs: performance.now() - startedAtMs, busy: 0, whole: true };
}
