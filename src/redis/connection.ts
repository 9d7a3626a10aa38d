import type { Cluster, Redis } from 'ioredis';
import type { StoreAddress } from '../config/store-url.js';
import { StoreUnavailable } from '../coordination/ports/value-store.js';
import { scriptClient } from './client.js';
import { OneWrite } from './one-write.js';

/**
 * How long one step may take. A script takes some ten microseconds and a round trip in one region a
 * millisecond; a fork for a snapshot can stop a large Redis for 100 ms or two; and a caller of the
 * ladder below must still be answered within a second.
 */
const CALL_TIMEOUT_MS = 300;
/** How often a store that has fallen silent is asked whether it is back. */
const PROBE_EVERY_MS = 100;

/** Replies that say that the store cannot serve now. All others are faults of ours. */
const CANNOT_SERVE =
  /(?:^|-)(?:LOADING|READONLY|OOM|MISCONF|CLUSTERDOWN|MASTERDOWN|NOREPLICAS|TRYAGAIN|BUSY) /;

export interface StoreConnectionOptions {
  readonly timeoutMs?: number;
  /** PEM: who has signed the certificate of a `rediss://` store. */
  readonly ca?: string | undefined;
  /** Hears why a connection could not be made or broke; each failed try again. */
  readonly onError?: (error: Error) => void;
}

/**
 * The connection to the value store. A step is sent at once or rejected at once, its reply is awaited for
 * a bounded time, and while the store is silent only a probe is sent: a store that hangs costs its callers
 * one time-out altogether, and not one each.
 */
export class StoreConnection {
  readonly #client: Redis | Cluster;
  readonly #timeoutMs: number;
  #answeredAtMs = 0;
  #probeTimer: NodeJS.Timeout | undefined;
  #probing = false;
  readonly #oneWrite = new OneWrite();
  #closed = false;

  /** Connects in the background. */
  constructor(address: StoreAddress, options: StoreConnectionOptions = {}) {
    this.#timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS;
    this.#client = scriptClient(address, options.ca);
    // Without a listener ioredis writes to the console.
    this.#client.on('error', (error: Error) => options.onError?.(error));
    this.#client.on('ready', () => this.#answered());
  }

  /** No reply since a call timed out; every call is rejected at once until a probe is answered. */
  get silent(): boolean {
    return this.#probeTimer !== undefined;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Resolves when the store answers. Rejects with {@link StoreUnavailable}. */
  async ping(): Promise<void> {
    await this.call((client) => client.ping());
  }

  /**
   * Sends one step. Rejects with {@link StoreUnavailable} when there is no connection, no reply in time, or
   * one that says that the store cannot serve; with the reply itself where that is a fault of ours.
   */
  call<T>(send: (client: Redis | Cluster) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new StoreUnavailable('the connection to the store is closed'));
    if (this.silent) return Promise.reject(new StoreUnavailable('the store has fallen silent'));
    const sentAtMs = performance.now();
    // A cluster has a connection for each of its nodes.
    if ('stream' in this.#client) this.#oneWrite.gather(this.#client.stream);
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        // Timers run before sockets are read: after a stall of this process the reply may be there already.
        setImmediate(() => {
          reject(new StoreUnavailable(`no reply of the store within ${this.#timeoutMs} ms`));
          if (!settled && this.#answeredAtMs < sentAtMs) this.#startProbing();
        });
      }, this.#timeoutMs);
      let settled = false;
      const settle = (replied: boolean) => {
        settled = true;
        clearTimeout(timer);
        if (replied) this.#answered();
      };
      send(this.#client).then(
        (reply) => {
          settle(true);
          resolve(reply);
        },
        (error) => {
          settle(isReply(error));
          reject(unavailableOrOurs(error));
        },
      );
    });
  }

  /** Ends the connection. Calls without a reply are rejected. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#probeTimer);
    this.#probeTimer = undefined;
    this.#client.disconnect();
  }

  #answered(): void {
    this.#answeredAtMs = performance.now();
    clearTimeout(this.#probeTimer);
    this.#probeTimer = undefined;
  }

  #startProbing(): void {
    if (this.silent || this.#closed) return;
    const probe = () => {
      this.#probeTimer = setTimeout(probe, PROBE_EVERY_MS);
      // One at a time: a store that wakes up after an hour should not find a thousand of them.
      if (this.#probing) return;
      this.#probing = true;
      this.#client.ping().then(
        () => {
          this.#probing = false;
          this.#answered();
        },
        (error) => {
          this.#probing = false;
          if (isReply(error)) this.#answered();
        },
      );
    };
    probe();
  }
}

/** ioredis names what the server itself answered a ReplyError, and everything else otherwise. */
function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}

function unavailableOrOurs(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TypeError) return error;
  // ioredis hangs the command on it, whose arguments are tokens and values: they must not reach a log.
  if ('command' in error) delete error.command;
  if (isReply(error) && !CANNOT_SERVE.test(error.message)) return error;
  return new StoreUnavailable(`the store cannot serve: ${error.message}`, { cause: error });
}
