import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { DibsError } from '../../clients/typescript/src/errors.js';
import type { Fleet } from './fleet.js';
import { Origin } from './stampede.js';

const CLIENTS = 8;
const CALLERS_PER_CLIENT = 4;
const KEYS = 40;
/** So short that keys expire and are rebuilt all the time. */
const TTL_MS = 300;
const REBUILD_MS = 20;
const PAUSE_MS = 10;
/**
 * A learned lease of such short rebuilds is one second. It would end while a busy machine delays its holder, and the
 * key would be rebuilt again.
 */
const COUNTED_LEASE_MS = 20_000;
/** On a busy machine, a late store or holder may have a key rebuilt again. A real fault does so in every round. */
const ROUNDS = 3;
/** On a busy machine a connection may take seconds. */
const CONNECT_MS = 20_000;

/**
 * Clients of a fleet whose replicas are replaced. Half of them use sessions, the others unary calls. None rebuilds
 * without the service, so every unanswered call is a failure.
 */
export class RollingLoad {
  readonly failures: string[] = [];
  answered = 0;
  readonly #origin = new Origin(REBUILD_MS);
  readonly #clients: readonly DibsClient[];
  readonly #running: Promise<unknown>;
  #over = false;

  /** Starts the load at once. Plain calls are those that are not retried. */
  constructor(
    ports: readonly number[],
    private readonly options: { readonly plainCalls: boolean },
  ) {
    const target = `ipv4:${ports.map((port) => `127.0.0.1:${port}`).join(',')}`;
    this.#clients = Array.from(
      { length: CLIENTS },
      (_, at) =>
        new DibsClient({ target, session: at % 2 === 0, connectMs: CONNECT_MS, onUnavailable: 'fail' }),
    );
    this.#running = Promise.all(
      Array.from({ length: CLIENTS * CALLERS_PER_CLIENT }, (_, at) => this.#call(this.#client(at), at)),
    );
  }

  /**
   * Sends all clients to new keys at once. Returns the keys that were not rebuilt exactly once, and the unexpected values.
   */
  async rebuiltMoreThanOnce(name: string): Promise<string[]> {
    let found: string[] = [];
    for (let round = 1; round <= ROUNDS; round += 1) {
      found = await this.#rebuiltMoreThanOnce(`${name}, round ${round}`);
      if (found.length === 0) break;
    }
    return found;
  }

  async #rebuiltMoreThanOnce(name: string): Promise<string[]> {
    const keys = Array.from({ length: 20 }, (_, at) => `${name} ${at}`);
    const origin = new Origin(REBUILD_MS);
    const texts = await Promise.all(
      keys.flatMap((key) =>
        this.#clients.map((client) => this.#get(client, key, origin, 60_000, COUNTED_LEASE_MS)),
      ),
    );
    const twice = keys.filter((key) => origin.callsOf(key) !== 1);
    return [...twice, ...texts.filter((text) => !text?.endsWith(', rebuild 1')).map((text) => `${text}`)];
  }

  /** Resolves when every call has been answered. */
  async stop(): Promise<void> {
    this.#over = true;
    await this.#running;
    for (const client of this.#clients) client.close();
  }

  #client(at: number): DibsClient {
    return this.#clients[at % CLIENTS] as DibsClient;
  }

  async #call(client: DibsClient, seed: number): Promise<void> {
    for (let at = seed; !this.#over; at += 7) {
      const key = `load ${at % KEYS}`;
      await this.#get(client, key, this.#origin, TTL_MS);
      if (this.options.plainCalls) await this.#look(client, key);
      this.answered += 1;
      await sleep(PAUSE_MS);
    }
  }

  /** Reads a key. An interrupted call counts as a failure. */
  async #look(client: DibsClient, key: string): Promise<void> {
    try {
      await client.getOrLock({ key, intent: 'read', read: 'store', waitMs: 500 });
    } catch (error) {
      // A replica on a busy machine may answer that it is overloaded. That call was not interrupted.
      if (error instanceof DibsError && error.code === 'RESOURCE_EXHAUSTED') return;
      this.failures.push(`a read of ${key}: ${error}`);
    }
  }

  async #get(
    client: DibsClient,
    key: string,
    origin: Origin,
    ttlMs: number,
    leaseMs?: number,
  ): Promise<string | undefined> {
    try {
      const rebuild = () => origin.rebuild(key);
      const value = await client.getOrRebuild(key, rebuild, { ttlMs, ...(leaseMs && { leaseMs }) });
      const text = value ?? undefined;
      if (!text?.startsWith(`${key}, rebuild `)) this.failures.push(`${key} is ${text}`);
      return text;
    } catch (error) {
      this.failures.push(`${key}: ${error}`);
      return undefined;
    }
  }
}

/** How many GetOrLock calls a replica has answered. */
async function answeredBy(httpUrl: string): Promise<number> {
  const text = await (await fetch(`${httpUrl}/metrics`)).text();
  const counts = [...text.matchAll(/^dibs_get_or_lock_total\{.*\} (\d+)$/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

/**
 * Ends each replica as an orchestrator does, and starts another on the same port. Then it checks that clients find it
 * again, that it answers, and that each key is rebuilt once.
 */
export async function replaceOneByOne(
  fleet: Fleet,
  ports: readonly number[],
  load: RollingLoad,
): Promise<void> {
  for (const [at, port] of ports.entries()) {
    const leaving = fleet.replicas[at];
    leaving?.signal('SIGTERM');
    expect(await leaving?.ended).toEqual({ code: 0, signal: null });
    const come = await fleet.addReplica(listenAt(port));
    await expect.poll(() => answeredBy(come.httpUrl), { timeout: 60_000 }).toBeGreaterThan(50);
    expect(await load.rebuiltMoreThanOnce(`with ${at + 1} replaced`)).toEqual([]);
  }
}

export const listenAt = (port: number) => ({ DIBS_LISTEN: `127.0.0.1:${port}` });
