import { hostname } from 'node:os';
import type { Codec } from './codec.js';
import { DibsError } from './errors.js';
import type { Hooks } from './hooks.js';
import type { NearCacheOptions } from './near-cache.js';
import { TIMER_MS_MAX, wholeMs } from './numbers.js';
import type { Transport } from './transport.js';

export interface DibsClientOptions {
  /** `HOST:PORT`, `unix:///path` or `dns:///HOST:PORT`. Default: `DIBS_TARGET`, else `127.0.0.1:50051`. */
  readonly target?: string;
  /**
   * The caller's token. A function is called for each connection and each unary call, and must be quick. Default:
   * `DIBS_TOKEN`, else the file that `DIBS_TOKEN_FILE` names, else none.
   */
  readonly token?: string | (() => string);
  /**
   * Path of a file with the token, instead of `token`. It is read again when it changes. Default: `DIBS_TOKEN_FILE`.
   */
  readonly tokenFile?: string;
  /** Allows the token to travel unencrypted to another machine. Default: false, which is an error there without TLS. */
  readonly allowInsecureToken?: boolean;
  /** Path of a PEM file with the authorities to trust; turns TLS on. Default: `DIBS_TLS_CA`, else no TLS. */
  readonly tlsCa?: string;
  /**
   * Path of a PEM file with this client's own certificate; turns TLS on. Default: `DIBS_TLS_CERT`, else none. The TLS
   * files are read again for each connection, so that a renewed certificate needs no restart.
   */
  readonly tlsCert?: string;
  /** Path of a PEM file with the key of `tlsCert`. Default: `DIBS_TLS_KEY`. */
  readonly tlsKey?: string;
  /**
   * How long a connection may take before the service counts as unreachable, in milliseconds. It applies once for all
   * calls, not to each. Default: 2000, because TCP repeats a lost first packet after one second.
   */
  readonly connectMs?: number;
  /**
   * Sends all calls on one stream, with leases that end with this process. Default: true. If there can be no stream,
   * calls are sent one by one.
   */
  readonly session?: boolean;
  /**
   * For a target with several replicas: whether a key has the same one in every process. Its callers then meet in one
   * place, which saves reads of the store, and memory in the near caches of the service. A key that all processes want
   * then loads one replica only. Default: false, each process has its own shares.
   */
  readonly keyAffinity?: boolean;
  /**
   * Keeps fresh values in this process's memory, and drops them as soon as the service learns that they have changed.
   * Default: none. Needs sessions.
   */
  readonly nearCache?: NearCacheOptions;
  /**
   * While the service cannot be reached, `getOrRebuild` returns what the near cache had before, as stale, for as long
   * as it would have been fresh. Default: false.
   */
  readonly serveNearWhenUnavailable?: boolean;
  /**
   * The longest that a rebuild may keep its lease, in milliseconds. After that it counts as hung: its signal is
   * aborted, and other callers may rebuild. Default: 600000, ten minutes. The service has its own bound.
   */
  readonly leaseHoldMaxMs?: number;
  /** The namespace of calls that name none. Default: the service's `default`. */
  readonly namespace?: string;
  /** The name of this process in Explain and logs. Default: host name and process id. */
  readonly holder?: string;
  /** What `getOrRebuild` does if the service cannot be reached. Default: `rebuild`, one at a time per key. */
  readonly onUnavailable?: 'rebuild' | 'fail';
  readonly hooks?: Hooks;
  /** Carries the calls instead of a connection to `target`; for tests. */
  readonly transport?: Transport;
}

export interface RebuildOptions {
  /** How long the value is fresh, in milliseconds: 1 to 31536000000. */
  readonly ttlMs: number;
  /** How long after that it may be served stale, in milliseconds: 0 to 31536000000. Default: the namespace's policy. */
  readonly staleMs?: number;
  /** Replaces `ttlMs` if the source has nothing, in milliseconds. Default: `ttlMs`. */
  readonly absentTtlMs?: number;
  /** Names to invalidate the value by: at most 16, each of 1 to 256 bytes. */
  readonly tags?: readonly string[];
  /** Default: the client's namespace. */
  readonly namespace?: string;
  /**
   * How long to wait for another caller's rebuild, in milliseconds, also for one of this process; 0 does not wait.
   * Default: 30000.
   */
  readonly waitMs?: number;
  /** The length of the lease, in milliseconds. It is extended during the rebuild. Default: learned by the service. */
  readonly leaseMs?: number;
  /** Whether a stale value is acceptable. Default: the namespace's policy. */
  readonly stale?: 'allow' | 'forbid';
  /** `store`: returns nothing that was invalidated before this call began. Default: `near`. */
  readonly read?: 'near' | 'store';
  /** Rebuilds now, even if the value is fresh. Default: false. */
  readonly refresh?: boolean;
  /**
   * If there is a value to serve in the meantime: `background` returns it and continues the rebuild, `await` waits for
   * the rebuild. Default: `background`; with `refresh` always `await`.
   */
  readonly revalidate?: 'background' | 'await';
  /** With `revalidate: 'await'`: returns a stale value if the rebuild fails. Default: false, which throws. */
  readonly staleIfError?: boolean;
  /** Ends this call. The rebuild is aborted when no caller waits for it any more. */
  readonly signal?: AbortSignal;
  /** The W3C traceparent to pass on. */
  readonly traceparent?: string;
  /** What to do if the service cannot be reached. Default: the client's. */
  readonly onUnavailable?: 'rebuild' | 'fail';
}

/** The options of `get`. */
export interface GetOptions {
  /** Default: the client's namespace. */
  readonly namespace?: string;
  /** How long to wait for a running rebuild, in milliseconds. Default: 0, which does not wait. */
  readonly waitMs?: number;
  /** Whether a stale value is acceptable. Default: the namespace's policy. */
  readonly stale?: 'allow' | 'forbid';
  /** `store`: returns nothing that was invalidated before this call began. Default: `near`. */
  readonly read?: 'near' | 'store';
  /** Ends this call. */
  readonly signal?: AbortSignal;
  /** The W3C traceparent to pass on. */
  readonly traceparent?: string;
}

/** The options of `set`. */
export interface SetOptions {
  /** How long the value is fresh, in milliseconds: 1 to 31536000000. */
  readonly ttlMs: number;
  /** How long after that it may be served stale, in milliseconds: 0 to 31536000000. Default: the namespace's policy. */
  readonly staleMs?: number;
  /** Names to invalidate the value by: at most 16, each of 1 to 256 bytes. */
  readonly tags?: readonly string[];
  /** Default: the client's namespace. */
  readonly namespace?: string;
  /** How long to wait for a running rebuild, in milliseconds; 0 does not wait. Default: 30000. */
  readonly waitMs?: number;
  /** Ends this call while it waits. */
  readonly signal?: AbortSignal;
  /** The W3C traceparent to pass on. */
  readonly traceparent?: string;
}

export interface CodecOption<T, Given = T> {
  /** Encodes and decodes the value. Default: `json()`. */
  readonly codec: Codec<T, Given>;
}

/** The value is stored as JSON. */
export interface NoCodec {
  readonly codec?: undefined;
}

/** How one value is stored. Replaces the options of the call. */
export interface StoreOptions {
  /** How long it is fresh, in milliseconds, also if it is `null`. */
  readonly ttlMs?: number;
  readonly staleMs?: number;
  readonly tags?: readonly string[];
}

/** What a rebuild gets, and what it may set. */
export interface RebuildContext<T = unknown> {
  /** Aborted with a {@link LeaseLostError} when the lease is lost, or when no caller waits any more. */
  readonly signal: AbortSignal;
  /** Grows with each lease of the key. Pass it to the source if that checks fences. 0 if there is none. */
  readonly fence: number;
  /**
   * The previous value, for a source that can answer "not modified"; null if the source had nothing; undefined if none
   * is known or the codec cannot read it any more. Its type comes from the codec, such as `codec: json<User>()`.
   */
  readonly previous: T | null | undefined;
  /** Why the lease was granted; `local` if the service could not be reached. */
  readonly reason: string;
  /** Stores the returned value with its own options. */
  storeWith(options: StoreOptions): void;
  /**
   * Does not store the returned value. It goes to this caller, and to the callers that joined it before the lease came.
   */
  doNotStore(): void;
}

/** What a rebuild of several keys gets, and what it may set. */
export interface RebuildManyContext<T = unknown> {
  /** Aborted when all leases are lost, or when no caller waits any more. */
  readonly signal: AbortSignal;
  /** The previous values that the codec can read, by key; null if the source had nothing. */
  readonly previous: ReadonlyMap<string, T | null>;
  /** The fence of each key; 0 if there is none. */
  readonly fences: ReadonlyMap<string, number>;
  /** Stores the value of one key with its own options. */
  storeWith(key: string, options: StoreOptions): void;
  /** Does not store the value of this key. */
  doNotStore(key: string): void;
}

export const DEFAULT_WAIT_MS = 30_000;
const DEFAULT_CONNECT_MS = 2_000;
/** Ten minutes: longer than any rebuild that a caller waits for, short enough that a hung one is noticed. */
const DEFAULT_LEASE_HOLD_MAX_MS = 600_000;
const DEFAULT_TARGET = '127.0.0.1:50051';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where to call, and as which identity: the caller's options, else the environment's. */
export function connectionOptions(options: DibsClientOptions, env: Environment) {
  const { allowInsecureToken = false, connectMs = DEFAULT_CONNECT_MS } = options;
  return {
    target: options.target ?? (env.DIBS_TARGET || DEFAULT_TARGET),
    ...identityOf(options, env),
    allowInsecureToken,
    tlsCa: options.tlsCa ?? env.DIBS_TLS_CA ?? '',
    tlsCert: options.tlsCert ?? env.DIBS_TLS_CERT ?? '',
    tlsKey: options.tlsKey ?? env.DIBS_TLS_KEY ?? '',
    connectMs: wholeMs('connectMs', connectMs, 1, TIMER_MS_MAX),
  };
}

/** The caller's token options are not mixed with those of the environment. */
function identityOf({ token, tokenFile }: DibsClientOptions, env: Environment) {
  const isSaid = token !== undefined || tokenFile !== undefined;
  if (isSaid) return { token: token ?? '', ...(tokenFile === undefined ? {} : { tokenFile }) };
  const { DIBS_TOKEN = '', DIBS_TOKEN_FILE = '' } = env;
  return {
    token: DIBS_TOKEN,
    ...(DIBS_TOKEN === '' && DIBS_TOKEN_FILE !== '' ? { tokenFile: DIBS_TOKEN_FILE } : {}),
  };
}

/** Throws for options that contradict each other: the client would work, without what they ask for. */
export function checkNear({ nearCache, serveNearWhenUnavailable, session }: DibsClientOptions): void {
  if (nearCache !== undefined && session === false) {
    throw new DibsError(
      'INVALID_ARGUMENT',
      'nearCache: needs sessions, which report changes; remove session: false',
    );
  }
  if (nearCache === undefined && serveNearWhenUnavailable === true) {
    throw new DibsError(
      'INVALID_ARGUMENT',
      'serveNearWhenUnavailable: needs nearCache, whose values it serves',
    );
  }
}

export function leaseHoldMaxMsOf({ leaseHoldMaxMs = DEFAULT_LEASE_HOLD_MAX_MS }: DibsClientOptions): number {
  return wholeMs('leaseHoldMaxMs', leaseHoldMaxMs, 1, TIMER_MS_MAX);
}

/** At most 256 bytes, the contract's bound. */
export function defaultHolder(): string {
  return `${hostname().slice(0, 200)}/${process.pid}`;
}
