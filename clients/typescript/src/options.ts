import { hostname } from 'node:os';
import type { Codec } from './codec.js';
import type { Hooks } from './hooks.js';
import type { NearCacheOptions } from './near-cache.js';
import { TIMER_MS_MAX, wholeMs } from './numbers.js';
import type { Transport } from './transport.js';

export interface DibsClientOptions {
  /** `HOST:PORT`, `unix:///path` or `dns:///HOST:PORT`. Default: `DIBS_TARGET`, else `127.0.0.1:50051`. */
  readonly target?: string;
  /**
   * The caller's token. A function is asked for each connection and each unary call, and must
   * be quick. Default: `DIBS_TOKEN`, else the file that `DIBS_TOKEN_FILE` names, else none.
   */
  readonly token?: string | (() => string);
  /** Path of a file with the token in place of `token`; it is read again when it changes. Default: `DIBS_TOKEN_FILE`. */
  readonly tokenFile?: string;
  /** Lets the token travel in clear to another machine. Default: false, which is an error there without TLS. */
  readonly allowInsecureToken?: boolean;
  /** Path of a PEM file with the authorities to trust; turns TLS on. Default: `DIBS_TLS_CA`, else no TLS. */
  readonly tlsCa?: string;
  /**
   * Path of a PEM file with this client's own certificate; turns TLS on. Default: `DIBS_TLS_CERT`, else none. The
   * files of TLS are read again for each connection, so that a renewed certificate needs no restart.
   */
  readonly tlsCert?: string;
  /** Path of a PEM file with the key of `tlsCert`. Default: `DIBS_TLS_KEY`. */
  readonly tlsKey?: string;
  /**
   * How long a connection may take before the service counts as out of reach, in milliseconds; once for all
   * calls, not for each. Default: 2000, because TCP repeats the first packet that is lost after one second.
   */
  readonly connectMs?: number;
  /**
   * All calls on one stream, with leases that end with this process; default: true. Where a stream cannot be had,
   * calls still go one by one.
   */
  readonly session?: boolean;
  /**
   * Where the target has several replicas: whether a key has the same one in every process. Its callers then meet in one
   * place, which costs fewer reads of the store and memory in one near cache of the service instead of all; a key that
   * all processes want is then the burden of one replica. Default: false, each process has its own shares.
   */
  readonly keyAffinity?: boolean;
  /**
   * Fresh values in this process's memory, dropped as soon as the service hears that they have changed; default:
   * none. Needs sessions.
   */
  readonly nearCache?: NearCacheOptions;
  /**
   * While the service cannot be reached, `getOrRebuild` returns what the near cache had before, as stale, for as
   * long as it would have been fresh. Default: false.
   */
  readonly serveNearWhenUnavailable?: boolean;
  /**
   * How long a rebuild may keep its lease in all, in milliseconds. After that it counts as hung: its signal is
   * aborted, and other callers may rebuild. Default: 600000, ten minutes; the service has a bound of its own.
   */
  readonly leaseHoldMaxMs?: number;
  /** Of calls that name none. Default: the service's `default`. */
  readonly namespace?: string;
  /** What this process is called in Explain and logs. Default: host name and process id. */
  readonly holder?: string;
  /** What `getOrRebuild` does when the service cannot be reached. Default: `rebuild`, one at a time per key. */
  readonly onUnavailable?: 'rebuild' | 'fail';
  readonly hooks?: Hooks;
  /** How calls travel, in place of a connection to `target`; for tests. */
  readonly transport?: Transport;
}

export interface RebuildOptions {
  /** How long the value is fresh, in milliseconds: 1 to 31536000000. */
  readonly ttlMs: number;
  /** How long after that it may be served stale. Default: as the namespace's policy says. */
  readonly staleMs?: number;
  /** In place of `ttlMs` for the knowledge that there is nothing. Default: `ttlMs`. */
  readonly absentTtlMs?: number;
  /** Names to invalidate the value by: at most 16, each of 1 to 256 bytes. */
  readonly tags?: readonly string[];
  /** Default: the client's. */
  readonly namespace?: string;
  /**
   * How long to wait for another caller's rebuild, also for one of this process, in milliseconds; 0 does not wait.
   * Default: 30000.
   */
  readonly waitMs?: number;
  /** How long the lease lasts; it is extended while the rebuild runs. Default: learned by the service. */
  readonly leaseMs?: number;
  /** Whether a stale value is a good answer. Default: as the namespace's policy says. */
  readonly stale?: 'allow' | 'forbid';
  /** `store`: nothing that was invalidated before this call began is returned. Default: `near`. */
  readonly read?: 'near' | 'store';
  /** Rebuild now, although the value may be fresh. Default: false. */
  readonly refresh?: boolean;
  /**
   * Where there is a value to serve meanwhile: `background` serves it and lets the rebuild go on, `await`
   * waits for the rebuild. Default: `background`; with `refresh` always `await`.
   */
  readonly revalidate?: 'background' | 'await';
  /** With `revalidate: 'await'`: a stale value is returned if the rebuild fails. Default: false, which throws. */
  readonly staleIfError?: boolean;
  /** Ends this call; the rebuild is aborted when no caller waits for it any more. */
  readonly signal?: AbortSignal;
  /** The W3C traceparent to pass on. */
  readonly traceparent?: string;
  /** Default: the client's. */
  readonly onUnavailable?: 'rebuild' | 'fail';
}

/** What `get` is told. */
export interface GetOptions {
  /** Default: the client's. */
  readonly namespace?: string;
  /** How long to wait for a rebuild that runs, in milliseconds. Default: 0, which does not wait. */
  readonly waitMs?: number;
  /** Whether a stale value is a good answer. Default: as the namespace's policy says. */
  readonly stale?: 'allow' | 'forbid';
  /** `store`: nothing that was invalidated before this call began is returned. Default: `near`. */
  readonly read?: 'near' | 'store';
  /** Ends this call. */
  readonly signal?: AbortSignal;
  /** The W3C traceparent to pass on. */
  readonly traceparent?: string;
}

/** What `set` is told. */
export interface SetOptions {
  /** How long the value is fresh, in milliseconds: 1 to 31536000000. */
  readonly ttlMs: number;
  /** How long after that it may be served stale. Default: as the namespace's policy says. */
  readonly staleMs?: number;
  /** Names to invalidate the value by: at most 16, each of 1 to 256 bytes. */
  readonly tags?: readonly string[];
  /** Default: the client's. */
  readonly namespace?: string;
  /** How long to wait for a rebuild that runs, in milliseconds; 0 does not wait. Default: 30000. */
  readonly waitMs?: number;
  /** Ends this call, for as long as it waits. */
  readonly signal?: AbortSignal;
  /** The W3C traceparent to pass on. */
  readonly traceparent?: string;
}

export interface CodecOption<T, Given = T> {
  /** How the value becomes bytes and comes back. Default: `json()`. */
  readonly codec: Codec<T, Given>;
}

/** The value is stored as JSON. */
export interface NoCodec {
  readonly codec?: undefined;
}

/** How one value is stored, in place of what the call says. */
export interface StoreOptions {
  /** How long it is fresh, also where it is `null`. */
  readonly ttlMs?: number;
  readonly staleMs?: number;
  readonly tags?: readonly string[];
}

/** What a rebuild is told, and what it may say. */
export interface RebuildContext<T = unknown> {
  /** Aborted when the lease is lost, with a {@link LeaseLostError}, or when no caller waits any more. */
  readonly signal: AbortSignal;
  /** Grows with each lease of the key; give it to the source, if that checks fences. 0 if there is none. */
  readonly fence: number;
  /**
   * The value before, for a source that can say "not modified"; null where the source had nothing. undefined
   * where none is known, or the codec cannot read it any more. Its type comes from the codec, such as
   * `codec: json<User>()`.
   */
  readonly previous: T | null | undefined;
  /** Why the lease was given; `local` where the service could not be reached. */
  readonly reason: string;
  /** Stores the value that is about to be returned by options of its own. */
  storeWith(options: StoreOptions): void;
  /**
   * The value that is about to be returned is not stored. It goes to this caller, and to the callers that joined it
   * before the lease came.
   */
  doNotStore(): void;
}

/** What a rebuild of several keys is told, and what it may say. */
export interface RebuildManyContext<T = unknown> {
  /** Aborted when all leases are lost, or when no caller waits any more. */
  readonly signal: AbortSignal;
  /** The values before, of the keys that have one that can be read; null where the source had nothing. */
  readonly previous: ReadonlyMap<string, T | null>;
  /** Of each key; 0 where there is none. */
  readonly fences: ReadonlyMap<string, number>;
  /** Stores the value of one key by options of its own. */
  storeWith(key: string, options: StoreOptions): void;
  /** The value of this key is not stored. */
  doNotStore(key: string): void;
}

export const DEFAULT_WAIT_MS = 30_000;
const DEFAULT_CONNECT_MS = 2_000;
/** Ten minutes: longer than any rebuild that a caller waits for, short enough that a hung one is noticed. */
const DEFAULT_LEASE_HOLD_MAX_MS = 600_000;
const DEFAULT_TARGET = '127.0.0.1:50051';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Where and as whom to call: what the caller says, else what the environment says. */
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

/** What the caller says of its token is not mixed with what the environment says. */
function identityOf({ token, tokenFile }: DibsClientOptions, env: Environment) {
  const isSaid = token !== undefined || tokenFile !== undefined;
  if (isSaid) return { token: token ?? '', ...(tokenFile === undefined ? {} : { tokenFile }) };
  const { DIBS_TOKEN = '', DIBS_TOKEN_FILE = '' } = env;
  return {
    token: DIBS_TOKEN,
    ...(DIBS_TOKEN === '' && DIBS_TOKEN_FILE !== '' ? { tokenFile: DIBS_TOKEN_FILE } : {}),
  };
}

export function leaseHoldMaxMsOf({ leaseHoldMaxMs = DEFAULT_LEASE_HOLD_MAX_MS }: DibsClientOptions): number {
  return wholeMs('leaseHoldMaxMs', leaseHoldMaxMs, 1, TIMER_MS_MAX);
}

/** At most 256 bytes, as the contract says. */
export function defaultHolder(): string {
  return `${hostname().slice(0, 200)}/${process.pid}`;
}
