import { Cluster, type Redis } from 'ioredis';
import type { ClusterAddress, SentinelAddress, StoreAddress } from '../config/store-url.js';
import { RunningTime } from '../coordination/degradation/running-time.js';
import type { Clock } from '../coordination/ports/clock.js';
import { type Missing, StoreUnavailable } from '../coordination/ports/value-store.js';
import { PassingMap } from '../coordination/words/passing-map.js';
import { retryMs, SILENT_MS_MAX, scriptClient, singleClient } from './client.js';
import { ClusterMasters } from './cluster-masters.js';
import { entryFault, hidesItsReason } from './entry-fault.js';
import { infoField } from './info.js';
import { OneWrite } from './one-write.js';
import { ReplyWatch } from './reply-watch.js';
import { foreignKey, isFaultOfScript, isForeignKey, isMereEnd, isUnsent, troubleOf } from './trouble.js';

/** Why the store does not serve: it is unreachable, it refuses, or one key has foreign data. */
export interface StoreTrouble {
  readonly kind: 'unreachable' | 'refused' | 'foreign_key';
  readonly why: string;
  readonly error: unknown;
}

export interface StoreConnectionOptions {
  readonly clock: Clock;
  /** How long a store that owes a reply may be silent, in this process's own running time, before that is reported. */
  readonly silenceMs: number;
  /** PEM: the authorities of the store's certificates, if it has TLS. */
  readonly ca?: string | undefined;
  /** Takes no calls before {@link StoreConnection.formatIsKnown}, so nothing is written beside a later version. */
  readonly awaitsFormat?: boolean | undefined;
  /** Called with the reason when a connection fails or breaks, or refuses something; again at each failed try. */
  readonly onTrouble?: (trouble: StoreTrouble) => void;
  /** A connection is ready for calls. */
  readonly onReady?: () => void;
  /** The `run_id` of a server, each time a connection to it is ready. */
  readonly onRun?: (run: string) => void;
}

/**
 * The connection to the value store. A step is sent at once or rejected at once, and never sent again. Its reply
 * counts whenever it comes: a store that is late is waited for. It is rejected when the connection breaks, and when the
 * store is silent: nothing has come from it on any connection for `silenceMs`, and a new connection got no answer
 * either. Then nothing is sent until something comes.
 */
export class StoreConnection {
  readonly #client: Redis | Cluster;
  readonly #silenceMs: number;
  /** Rejects the calls that have no reply yet. */
  #owed = new PassingMap<number, (why: StoreUnavailable) => void>();
  #calls = 0;
  /** One for each connection: a cluster has one for each of its nodes. */
  readonly #watches = new Map<Redis, ReplyWatch>();
  /** Only where the store is a cluster. */
  readonly #masters: ClusterMasters | undefined;
  readonly #running: RunningTime;
  readonly #oneWrite = new OneWrite();
  /** How long nothing has come from the store while it owed something. */
  #silentMs = 0;
  #silent = false;
  /** A connection was cut because it was silent, and is being replaced. */
  #isCut = false;
  #probe: Redis | undefined;
  #probes = 0;
  #isAsking = false;
  /** Why there is no connection. */
  #trouble: string | undefined;
  #awaitsFormat: boolean;
  /** Each ends one wait for the format. */
  readonly #formatWaits = new Set<() => void>();
  #closed = false;

  /** Connects in the background. */
  constructor(
    private readonly address: StoreAddress,
    private readonly options: StoreConnectionOptions,
  ) {
    this.#silenceMs = options.silenceMs;
    this.#awaitsFormat = options.awaitsFormat ?? false;
    this.#running = new RunningTime(options.clock, (ms) => this.#passed(ms));
    this.#client = scriptClient(address, options.ca);
    // Without a listener ioredis writes to the console.
    this.#client.on('error', (error: Error) => this.#noteUnreachable(error));
    // A port that needs TLS closes without an explanation.
    this.#client.on('close', () => this.#noteUnreachable(new Error('Connection is closed.')));
    this.#client.on('end', () => this.#connectAgain());
    this.#client.on('ready', () => {
      if (!this.#awaitsFormat) this.#ready();
    });
    if (this.#client instanceof Cluster) {
      this.#masters = new ClusterMasters(this.#client);
      this.#client.on('+node', (node: Redis) => this.#watch(node));
      this.#client.on('-node', (node: Redis) => this.#watches.delete(node));
      for (const node of this.#client.nodes('all')) this.#watch(node);
    } else this.#watch(this.#client);
  }

  /** It owes a reply and has been silent for too long. Every call is rejected at once until something comes. */
  get silent(): boolean {
    return this.#silent;
  }

  /** Keys are in slots, each at one of several servers. */
  get isCluster(): boolean {
    return this.#client instanceof Cluster;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves when the store answers. Rejects with {@link StoreUnavailable}. */
  async ping(): Promise<void> {
    await this.call((client) => client.ping());
  }

  /** Something came from the store, on this connection or on another. */
  heard(): void {
    this.#silentMs = 0;
    this.#silent = false;
  }

  /** The store has a format that this version knows: calls may be sent. */
  formatIsKnown(): void {
    if (!this.#awaitsFormat) return;
    this.#awaitsFormat = false;
    this.#ready();
    this.#endWaits();
  }

  /** Resolves when calls may be sent, or after `ms`. */
  async formatWithin(ms: number): Promise<void> {
    if (!this.#awaitsFormat || this.#closed) return;
    await new Promise<void>((resolve) => {
      const end = () => {
        cancel();
        this.#formatWaits.delete(end);
        resolve();
      };
      const cancel = this.options.clock.after(ms, end);
      this.#formatWaits.add(end);
    });
  }

  /**
   * Sends one step. Rejects with {@link StoreUnavailable} when there is no connection, when the reply cannot come any
   * more, or when it says that the store cannot serve; with the reply itself if that is a fault of our own. Also rejects
   * while the store's format is not known.
   */
  call<T>(send: (client: Redis | Cluster) => Promise<T>): Promise<T> {
    if (!this.#awaitsFormat || this.#closed) return this.callInAnyFormat(send);
    const why = this.#trouble ?? 'its format is not known yet';
    return Promise.reject(new StoreUnavailable(`the store cannot serve: ${why}`, { untaken: true }));
  }

  /** The same, also before the store's format is known. */
  callInAnyFormat<T>(send: (client: Redis | Cluster) => Promise<T>): Promise<T> {
    if (this.#closed)
      return Promise.reject(new StoreUnavailable('the connection to the store is closed', { untaken: true }));
    this.#running.start();
    if (this.#silent) return Promise.reject(this.#unheard(true));
    // A cluster has a connection for each of its nodes.
    if (!(this.#client instanceof Cluster)) this.#oneWrite.gather(this.#client.stream);
    return new Promise<T>((resolve, reject) => {
      this.#calls += 1;
      const owing = this.#calls;
      this.#owed.set(owing, reject);
      send(this.#client).then(
        (reply) => {
          this.#owed.delete(owing);
          resolve(reply);
        },
        (error) => {
          this.#owed.delete(owing);
          reject(this.faultOf(error));
        },
      );
    });
  }

  /** Ends the connection. Calls without a reply are rejected. */
  close(): void {
    this.#closed = true;
    this.#running.stop();
    this.#endWaits();
    this.#probe?.disconnect();
    this.#client.disconnect();
  }

  #ready(): void {
    this.#trouble = undefined;
    this.options.onReady?.();
  }

  #endWaits(): void {
    for (const end of this.#formatWaits) end();
  }

  /**
   * ioredis stops for good if a failover is reported while it connects: the sentinel subscription of the previous
   * connection ends the next one.
   */
  #connectAgain(): void {
    if (this.#closed) return;
    this.options.clock.after(retryMs(1), () => {
      if (!this.#closed) this.#client.connect().catch(() => {});
    });
  }

  #watch(client: Redis): void {
    if (this.#watches.has(client)) return;
    this.#watches.set(client, new ReplyWatch(client, () => this.heard()));
    client.on('ready', () => {
      this.#isCut = false;
      void this.#tellRun(client);
    });
  }

  /** Only for a warning, so it may fail: the user may lack the right to use INFO. */
  async #tellRun(client: Redis): Promise<void> {
    const { onRun } = this.options;
    if (onRun === undefined) return;
    const info = await client.info('server').catch(() => '');
    const run = infoField(info, 'run_id');
    if (run !== undefined) onRun(run);
  }

  /** False once nothing is owed any more. */
  #passed(ms: number): boolean {
    if (this.#owed.size > 0 || this.#silent) this.#silentMs += ms;
    else this.#silentMs = 0;
    if (this.#silentMs >= this.#silenceMs / 2) this.#askAnew();
    if (this.#silentMs >= this.#silenceMs && !this.#silent) this.#fallSilent();
    let owes = this.#owed.size > 0 || this.#silent;
    for (const watch of this.#watches.values()) {
      // The store may answer on other connections: this one may have lost its other end silently.
      if (watch.passed(ms) >= this.#silenceMs) {
        this.#isCut = true;
        watch.cut(`no reply of the store within ${this.#silenceMs} ms`);
      }
      owes ||= watch.owes;
    }
    return owes;
  }

  #fallSilent(): void {
    this.#silent = true;
    const why = this.#unheard();
    this.#noteUnreachable(why);
    const owed = this.#owed;
    this.#owed = new PassingMap();
    for (const reject of owed.values()) reject(why);
  }

  /** A new connection shows whether the store is silent, or only the old connection. */
  #askAnew(): void {
    if (this.#probe !== undefined || this.#closed) return;
    const { ca } = this.options;
    const probe = singleClient(this.address, this.#probes, 'dibs-probe', {
      ca,
      socketTimeout: SILENT_MS_MAX,
    });
    this.#probes += 1;
    this.#probe = probe;
    // Its errors are already reported by the other connections.
    probe.on('error', () => {});
    probe
      .connect()
      .then(() => probe.ping())
      .then(
        () => this.heard(),
        () => {},
      )
      .finally(() => {
        probe.disconnect();
        this.#probe = undefined;
      });
  }

  #unheard(untaken = false): StoreUnavailable {
    const how = this.#silentMs >= 2 * this.#silenceMs ? 'gone' : 'silent';
    return new StoreUnavailable('the store is silent: it owes a reply, and a new connection gets none', {
      how,
      untaken,
    });
  }

  /** A broken connection is a fact, unless this process broke it, or none was made yet to a new master. */
  #missing(): Missing {
    if (this.#silent) return this.#unheard().how;
    return this.#isCut || this.#masters?.areConnecting === true ? 'late' : 'gone';
  }

  #noteUnreachable(error: Error): void {
    // The error that broke or prevented the connection says more than its absence.
    if (this.#closed || (this.#trouble !== undefined && isMereEnd(error))) return;
    const { address } = this;
    if (address.kind !== 'single' && hidesItsReason(error)) void this.#askWhy(error, address);
    else this.#noteReason(error);
  }

  async #askWhy(error: Error, address: ClusterAddress | SentinelAddress): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const fault = await entryFault(address, this.#probes, this.options.ca);
    this.#isAsking = false;
    this.#probes += 1;
    if (!this.#closed) this.#noteReason(fault ?? error);
  }

  #noteReason(error: Error): void {
    const why = troubleOf(error);
    this.#trouble = why;
    this.options.onTrouble?.({ kind: 'unreachable', why, error });
  }

  /** Reports other data under the name of a key, or a record that cannot be read. Returns the error for its callers. */
  foreignKey(why: string, error: Error): Error {
    this.options.onTrouble?.({ kind: 'foreign_key', why, error });
    return foreignKey(why);
  }

  /** Converts an error or an error reply of ioredis: to {@link StoreUnavailable}, or to a fault of our own. */
  faultOf(error: unknown): unknown {
    if (!(error instanceof Error) || error instanceof TypeError) return error;
    const why = troubleOf(error);
    // ioredis attaches the command, whose arguments are tokens and values: they must not reach a log.
    if ('command' in error) delete error.command;
    if (error.name !== 'ReplyError') {
      const reason = isMereEnd(error)
        ? (this.#trouble ?? (isUnsent(error) ? 'there is no connection yet' : why))
        : why;
      return new StoreUnavailable(`the store cannot serve: ${reason}`, {
        cause: error,
        how: this.#missing(),
        untaken: isUnsent(error),
      });
    }
    if (isFaultOfScript(error.message)) return error;
    if (isForeignKey(error.message)) return this.foreignKey(why, error);
    // A connection that is made again because of it has no other reason.
    this.#trouble = why;
    this.options.onTrouble?.({ kind: 'refused', why, error });
    return new StoreUnavailable(`the store cannot serve: ${why}`, {
      cause: error,
      how: 'gone',
      untaken: true,
    });
  }
}
