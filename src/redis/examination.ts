import { TLSSocket } from 'node:tls';
import { Cluster, type Redis } from 'ioredis';
import type { Clock } from '../coordination/ports/clock.js';
import type { StoreConnection } from './connection.js';
import { infoField } from './info.js';
import {
  FIRST_START_KEY,
  FORMAT_KEY,
  lockKey,
  MARKER_KEY,
  recordKey,
  WAIT_KEY,
  WAKE_CHANNEL,
} from './keys.js';
import { lockTakeScript } from './lock-scripts.js';
import { troubleOf } from './trouble.js';

/** What `dibs doctor` reads from one Redis, and its trials of the user's rights. It leaves nothing there. */

/** One process behind an address. A cluster has several. */
export interface ServerFacts {
  /** As the server names itself: `Redis 7.0.15`. */
  readonly version: string;
  /** The id of this start of the process. */
  readonly run: string;
  readonly evictionPolicy: string;
  readonly isReplica: boolean;
  /** It has an append-only file, which a restart reads instead of a snapshot. */
  readonly appends: boolean;
  /** It has saved a snapshot since it started. Whether it is to save some is known only with a right to CONFIG. */
  readonly hasSaved: boolean;
  readonly isInCluster: boolean;
}

/** The key of a trial expires by itself after this, if nothing removes it before. */
const TRIAL_MS = 10_000;
/** The fastest of these counts, because other work of this process may delay a ping. */
const PINGS = 5;

/** In seconds, -1 before the first one. */
const LAST_SAVE_TOOK = 'rdb_last_bgsave_time_sec';

type Trial = readonly [right: string, name: string, ...args: (string | number)[]];

const RIGHT_OF_KEY = 'return 1';
/** The right to use a key begins with this. */
const A_KEY = 'the key ';

/** A trial for each right of a lock node's user. */
export function lockTrials(id: string): readonly Trial[] {
  const key = lockKey(id);
  return [
    ...common(key, [MARKER_KEY, WAIT_KEY]),
    ['script|load', 'script', 'load', lockTakeScript.source],
    ['exists', 'exists', key],
    ['pttl', 'pttl', key],
    // The key has a string, so these change nothing, and a server that allows them says WRONGTYPE.
    ['hmget', 'hmget', key, 'f'],
    ['hset', 'hset', key, 'f', 1],
    ['del', 'del', key],
  ];
}

/** A trial for each right of the value store's user, except `subscribe`. */
export function storeTrials(id: string): readonly Trial[] {
  const key = recordKey(id);
  return [
    ...common(key, [FIRST_START_KEY, FORMAT_KEY]),
    ['hget', 'hget', key, 'f'],
    ['hmget', 'hmget', key, 'f'],
    ['hset', 'hset', key, 'f', 1],
    ['hsetnx', 'hsetnx', key, 'f', 1],
    ['hdel', 'hdel', key, 'f'],
    ['hincrby', 'hincrby', key, 'f', 1],
    ['hlen', 'hlen', key],
    ['zadd', 'zadd', key, 1, 'm'],
    ['zcard', 'zcard', key],
    ['zpopmin', 'zpopmin', key],
    ['zrem', 'zrem', key, 'm'],
    ['zremrangebyscore', 'zremrangebyscore', key, 0, 1],
    ['zscore', 'zscore', key, 'm'],
    ['pexpire', 'pexpire', key, TRIAL_MS],
    ['pexpireat', 'pexpireat', key, Date.now() + TRIAL_MS],
    ['pttl', 'pttl', key],
    // A wake of a key that no replica has.
    ['publish', 'publish', WAKE_CHANNEL, `released:0:${id}`],
    ['unlink', 'unlink', key],
  ];
}

function common(key: string, others: readonly string[]): readonly Trial[] {
  return [
    ['ping', 'ping'],
    ['info', 'info'],
    ['time', 'time'],
    ['client|setname', 'client', 'setname', 'dibs-doctor'],
    ['set', 'set', key, 1, 'PX', TRIAL_MS],
    ['get', 'get', key],
    ['evalsha', 'evalsha', lockTakeScript.sha1, 0],
    ['eval', 'eval', RIGHT_OF_KEY, 0],
    ...[key, ...others].map((each): Trial => [`${A_KEY}${each}`, 'eval', RIGHT_OF_KEY, 1, each]),
  ];
}

export interface Trials {
  /** Commands and keys that the user may not use. */
  readonly refused: readonly string[];
  /** Commands that the server does not know: they are renamed, or it is too old. */
  readonly unknown: readonly string[];
  /** Why the server takes no write: it is full, or cannot save. */
  readonly cannotWrite: string | undefined;
}

/** Runs each command once, in order. Rejects with StoreUnavailable if the connection breaks. */
export async function tryRights(connection: StoreConnection, trials: readonly Trial[]): Promise<Trials> {
  const refused: string[] = [];
  const unknown: string[] = [];
  let cannotWrite: string | undefined;
  for (const [right, name, ...args] of trials) {
    try {
      await connection.call((client) => client.call(name, args));
    } catch (error) {
      const reply = replyOf(error);
      if (reply === undefined) throw error;
      if (/unknown command/i.test(reply.message)) unknown.push(right);
      else if (/NOPERM/.test(reply.message)) refused.push(right);
      else if (/^(?:OOM|MISCONF|NOREPLICAS)/.test(reply.message)) cannotWrite ??= troubleOf(reply);
    }
  }
  // Keys are tried by scripts, so without scripts it is unknown which keys a user may use.
  const known = refused.includes('eval') ? refused.filter((right) => !right.startsWith(A_KEY)) : refused;
  return { refused: [...new Set(known)], unknown, cannotWrite };
}

/** What Redis answered. Undefined if there was no answer. */
function replyOf(error: unknown): Error | undefined {
  const reply = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(reply instanceof Error)) return undefined;
  // A key of another type has an error of our own.
  return reply.name === 'ReplyError' || reply.name === 'CoordinationError' ? reply : undefined;
}

export async function factsOf(connection: StoreConnection): Promise<readonly ServerFacts[]> {
  const infos = await connection.call((client) => Promise.all(serversOf(client).map((each) => each.info())));
  return infos.map((info) => {
    const field = (name: string) => infoField(info, name) ?? '';
    const valkey = field('valkey_version');
    return {
      // Valkey names a version of Redis too, with which it is compatible.
      version: valkey === '' ? `Redis ${field('redis_version')}` : `Valkey ${valkey}`,
      run: field('run_id'),
      evictionPolicy: field('maxmemory_policy'),
      isReplica: field('role') === 'slave',
      appends: field('aof_enabled') === '1',
      // Redis 6.2 counts no snapshots, and says how long the last one took.
      hasSaved: Number(infoField(info, 'rdb_saves') ?? 1 + Number(infoField(info, LAST_SAVE_TOOK) ?? -1)) > 0,
      isInCluster: field('cluster_enabled') === '1',
    };
  });
}

export interface Timing {
  readonly roundTripMs: number;
  /** Above 0: the server's clock is ahead of this machine's. */
  readonly clockAheadMs: number;
}

export async function timingOf(connection: StoreConnection, clock: Clock): Promise<Timing> {
  let best: Timing | undefined;
  for (let at = 0; at < PINGS; at += 1) {
    const sentMs = clock.nowMs();
    const wallMs = Date.now();
    const [seconds, micros] = await connection.call((client) => client.time());
    const roundTripMs = clock.nowMs() - sentMs;
    const clockAheadMs = Number(seconds) * 1_000 + Number(micros) / 1_000 - (wallMs + roundTripMs / 2);
    if (best === undefined || roundTripMs < best.roundTripMs) best = { roundTripMs, clockAheadMs };
  }
  return best as Timing;
}

/** When the first of its certificates ends, in milliseconds since 1970. Undefined without TLS. */
export async function certificateEndMs(connection: StoreConnection): Promise<number | undefined> {
  const ends = await connection.call(async (client) =>
    serversOf(client).flatMap(({ stream }) =>
      stream instanceof TLSSocket ? [Date.parse(stream.getPeerCertificate().valid_to)] : [],
    ),
  );
  return ends.length === 0 ? undefined : Math.min(...ends);
}

/** The run that the lock node's marker names, or null. */
export function markedRun(connection: StoreConnection): Promise<string | null> {
  return connection.call((client) => client.get(MARKER_KEY));
}

/** Removes keys, one by one: in a cluster they may be anywhere. */
export async function remove(connection: StoreConnection, keys: readonly string[]): Promise<void> {
  for (const key of keys) await connection.call((client) => client.unlink(key));
}

function serversOf(client: Redis | Cluster): Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client];
}
