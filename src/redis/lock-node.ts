import { Redis } from 'ioredis';
import type { SingleAddress } from '../config/store-url.js';
import { RunningTime } from '../coordination/degradation/running-time.js';
import type { Clock } from '../coordination/ports/clock.js';
import type { LockNodeListener, LockStep, TakeReply, TakeStep } from '../quorum/lock-node.js';
import { hostOptions, inItsDatabase, promptOptions, retryMs } from './client.js';
import { infoField } from './info.js';
import { lockKey, MARKER_KEY, WAIT_KEY } from './keys.js';
import { lockFreeScript, lockMarkScript, lockRecallScript, lockTakeScript } from './lock-scripts.js';
import { packFrees, packTakes, readTakes } from './lock-steps.js';
import { OneWrite } from './one-write.js';
import { ReplyWatch } from './reply-watch.js';
import { isNoScript } from './script.js';
import { isMereEnd, throwTold, troubleOf } from './trouble.js';

const SCRIPTS = [lockTakeScript, lockFreeScript, lockRecallScript, lockMarkScript];

export interface RedisLockNodeOptions {
  readonly clock: Clock;
  /** A connection that owes a reply for this much of this process's running time is replaced. */
  readonly silenceMs: number;
  /** PEM, for an address with TLS. */
  readonly ca?: string | undefined;
}

/**
 * One Redis as a lock node, over one connection. Each call is one request, sent at once or rejected at once, and never
 * sent again. The votes are never sent with their source: an EVAL that is applied after the release would leave a lock
 * behind. A node without the scripts reports that instead.
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
    // It keeps trying by itself; `error` and `close` have reported why.
    this.#client.connect().catch(() => {});
  }

  async close(): Promise<void> {
    const connected = ['connecting', 'connect', 'ready'].includes(this.#client.status);
    const ended = new Promise((resolve) => this.#client.once('end', resolve));
    this.#running.stop();
    this.#client.disconnect();
    // Between two attempts ioredis stops silently.
    if (connected) await ended;
  }

  async prepare(): Promise<void> {
    await Promise.all(SCRIPTS.map((script) => this.#client.script('LOAD', script.source))).catch(throwTold);
  }

  async inspect(): Promise<{ run: string; evictionPolicy?: string }> {
    this.#running.start();
    const info = await this.#client.info().catch(throwTold);
    const run = infoField(info, 'run_id');
    if (run === undefined) throw new Error('the node does not report its run_id');
    const policy = infoField(info, 'maxmemory_policy') ?? 'unknown';
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

  async take(run: string, steps: readonly TakeStep[]): Promise<readonly TakeReply[]> {
    this.#gather();
    const args = { run, prefix: LOCK_PREFIX, steps: packTakes(steps) };
    try {
      const reply = await lockTakeScript.runCached(this.#client, { marker: MARKER_KEY }, args);
      return readTakes(reply as Buffer, steps.length);
    } catch (error) {
      if (isNoScript(error)) return steps.map(() => 'unprepared');
      return throwTold(error);
    }
  }

  /** Releases may arrive late and include their source, because nonces are never reused. */
  async free(steps: readonly LockStep[]): Promise<void> {
    this.#gather();
    await lockFreeScript.run(this.#client, {}, { prefix: LOCK_PREFIX, steps: packFrees(steps) });
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

const LOCK_PREFIX = lockKey('');
const MEMORY_KEYS = { marker: MARKER_KEY, wait: WAIT_KEY };
