import { Redis } from 'ioredis';
import type { SingleAddress } from '../config/store-url.js';
import { RunningTime } from '../coordination/degradation/running-time.js';
import type { Clock } from '../coordination/ports/clock.js';
import type { LockNodeListener, LockReply } from '../quorum/lock-node.js';
import { hostOptions, inItsDatabase, promptOptions, retryMs } from './client.js';
import { lockKey, MARKER_KEY, WAIT_KEY } from './keys.js';
import {
  lockAcquireScript,
  lockExtendScript,
  lockMarkScript,
  lockRecallScript,
  lockReleaseScript,
} from './lock-scripts.js';
import { OneWrite } from './one-write.js';
import { ReplyWatch } from './reply-watch.js';
import { isNoScript } from './script.js';
import { isMereEnd, throwTold, troubleOf } from './trouble.js';

const SCRIPTS = [lockAcquireScript, lockExtendScript, lockReleaseScript, lockRecallScript, lockMarkScript];

export interface RedisLockNodeOptions {
  readonly clock: Clock;
  /** A connection that owes a reply for so much of this process's running time is made anew. */
  readonly silenceMs: number;
  /** PEM, for an address with TLS. */
  readonly ca?: string | undefined;
}

/**
 * One Redis as a lock node: one connection, each step one request on it, sent at once or rejected at
 * once and never sent again. The votes are never sent with their source: an EVAL that is applied after
 * the release leaves a lock behind, so that a node without the scripts says so instead.
 */
export class RedisLockNode {
  readonly name: string;
  readonly #client: Redis;
  readonly #oneWrite = new OneWrite();
  readonly #watch: ReplyWatch;
  readonly #running: RunningTime;
  readonly #silenceMs: number;
  /** The connection broke because we cut it. */
  #isCut = false;

  constructor(address: SingleAddress, { clock, silenceMs, ca }: RedisLockNodeOptions) {
    this.name = lockNodeName(address);
    const client = new Redis({
      ...promptOptions,
      ...hostOptions(address, ca),
      lazyConnect: true,
      enableOfflineQueue: false,
      // A node that is still loading reports that when it is read.
      enableReadyCheck: false,
      retryStrategy: retryMs,
      connectionName: 'dibs-lock',
    });
    this.#client = inItsDatabase(client);
    this.#silenceMs = silenceMs;
    this.#watch = new ReplyWatch(this.#client, () => {});
    this.#running = new RunningTime(clock, (ms) => this.#passed(ms));
    // Also a handshake is watched.
    this.#client.on('connect', () => this.#running.start());
  }

  start(listener: LockNodeListener): void {
    const closed = 'the connection was closed';
    let trouble = closed;
    this.#client.on('error', (error: Error) => {
      if (trouble === closed || !isMereEnd(error)) trouble = troubleOf(error);
    });
    this.#client.on('ready', () => {
      // Its SELECT was refused: the connection is about to end.
      if (!this.#client.stream.writable) return;
      trouble = closed;
      listener.connected();
    });
    this.#client.on('close', () => {
      listener.disconnected(trouble, this.#isCut);
      this.#isCut = false;
    });
    // It goes on trying by itself; `error` and `close` have told why.
    this.#client.connect().catch(() => {});
  }

  async close(): Promise<void> {
    const connected = ['connecting', 'connect', 'ready'].includes(this.#client.status);
    const ended = new Promise((resolve) => this.#client.once('end', resolve));
    this.#running.stop();
    this.#client.disconnect();
    // Between two tries ioredis stops without a word.
    if (connected) await ended;
  }

  async prepare(): Promise<void> {
    await Promise.all(SCRIPTS.map((script) => this.#client.script('LOAD', script.source))).catch(throwTold);
  }

  async inspect(): Promise<{ run: string; evictionPolicy?: string }> {
    this.#running.start();
    const info = await this.#client.info().catch(throwTold);
    const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
    const run = field('run_id');
    if (run === undefined || run === '') throw new Error('the node does not tell its run_id');
    const policy = field('maxmemory_policy') ?? 'unknown';
    return policy === 'noeviction' ? { run } : { run, evictionPolicy: policy };
  }

  async recall(run: string, leaseMsMax: number) {
    const args = { run, lease_ms_max: leaseMsMax };
    const reply = await lockRecallScript.runCached(this.#client, MEMORY_KEYS, args).catch(throwTold);
    const [marked, blank, since, leftMs] = reply as [number, number, Buffer, number];
    if (marked === 1) return { kind: 'marked' } as const;
    return { kind: 'waiting', blank: blank === 1, since: since.toString(), leftMs } as const;
  }

  async mark(run: string, since: string, firstStart: boolean): Promise<boolean> {
    const args = { run, since, first_start: firstStart ? 1 : 0 };
    return (await lockMarkScript.runCached(this.#client, MEMORY_KEYS, args).catch(throwTold)) === 1;
  }

  async unmark(): Promise<void> {
    await this.#client.del(MARKER_KEY);
  }

  async ping(): Promise<void> {
    this.#running.start();
    await this.#client.ping();
  }

  acquire(run: string, id: string, nonce: string, ttlMs: number): Promise<LockReply> {
    this.#gather();
    const args = { nonce, ttl_ms: ttlMs, run };
    return replyOf(lockAcquireScript.runCached(this.#client, votingKeys(id), args));
  }

  extend(run: string, id: string, nonce: string, ttlMs: number): Promise<LockReply> {
    this.#gather();
    const args = { nonce, ttl_ms: ttlMs, run };
    return replyOf(lockExtendScript.runCached(this.#client, votingKeys(id), args));
  }

  /** A release may come late and with its source: nonces are never used again. */
  async release(id: string, nonce: string): Promise<void> {
    this.#gather();
    await lockReleaseScript.run(this.#client, { lock: lockKey(id) }, { nonce });
  }

  #gather(): void {
    this.#running.start();
    this.#oneWrite.gather(this.#client.stream);
  }

  #passed(ms: number): boolean {
    if (this.#watch.passed(ms) >= this.#silenceMs) {
      this.#isCut = true;
      this.#watch.cut(`no reply within ${this.#silenceMs} ms`);
    }
    return this.#watch.owes;
  }
}

/** For people and metrics, without its password. */
export function lockNodeName({ host, port }: SingleAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

const MEMORY_KEYS = { marker: MARKER_KEY, wait: WAIT_KEY };

function votingKeys(id: string): { lock: string; marker: string } {
  return { lock: lockKey(id), marker: MARKER_KEY };
}

async function replyOf(sent: Promise<unknown>): Promise<LockReply> {
  try {
    return (await sent) === 1 ? 'done' : 'held';
  } catch (error) {
    if (isNoScript(error)) return 'unprepared';
    if (error instanceof Error && error.message.startsWith('UNMARKED')) return 'unmarked';
    return throwTold(error);
  }
}
