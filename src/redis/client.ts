import { isIP } from 'node:net';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type {
  ClusterAddress,
  Credentials,
  RedisHost,
  SentinelAddress,
  StoreAddress,
} from '../config/store-url.js';
import './socket-errors.js';

/** A store that has come back should be seen at once; one that stays away should not be hammered. */
const RETRY_MS_MIN = 50;
const RETRY_MS_MAX = 1_000;
/**
 * A connection for beats or for one question that owes a reply and has been silent for this long is replaced: its other
 * end may have gone silently. All other connections count running time instead (`reply-watch.ts`).
 */
export const SILENT_MS_MAX = 2_000;
/** A TCP or TLS handshake within one region takes some milliseconds. */
const CONNECT_MS_MAX = 1_000;
/** A store that is loading its data reports how long that takes, in whole seconds; it is asked again sooner. */
const LOADING_RETRY_MS = 250;
/** Which node of a cluster has which keys. This is the only sign of a failover once errors go to the caller. */
const SLOTS_REFRESH_MS = 1_000;
/** After this, a sentinel that hangs is skipped. */
const SENTINEL_MS_MAX = 500;
/** A QUIT that is not answered by then never will be; ioredis waits for 2 s. */
const DISCONNECT_MS_MAX = 200;

/** The pause before the nth attempt: 50 ms doubling to 1 s, minus up to half of it, so that replicas spread out. */
export function retryMs(tries: number): number {
  const fullMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(tries - 1, 10));
  return Math.round(fullMs * (1 - Math.random() / 2));
}

/**
 * Options of every connection: a command is sent at once or refused, and never a second time behind its
 * caller's back. `maxRetriesPerRequest: 0` is what rejects unanswered commands when the connection
 * closes; without resending and without it, ioredis 6 leaves them pending forever.
 *
 * No automatic pipelining: README.md has the numbers.
 */
export const promptOptions = {
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  connectTimeout: CONNECT_MS_MAX,
  maxLoadingRetryTime: LOADING_RETRY_MS,
  disconnectTimeout: DISCONNECT_MS_MAX,
  // The client's version is of no use there, and an ACL would have to allow the command that sets it.
  disableClientInfo: true,
} as const;

/**
 * The same client, which reconnects if its SELECT is refused: ioredis would continue in database 0, which may belong to
 * another fleet. Until it is ready, it refuses every command.
 */
export function inItsDatabase(client: Redis): Redis {
  client.on('error', (error: { command?: { name?: string } }) => {
    if (error.command?.name === 'select') client.disconnect(true);
  });
  return client;
}

/**
 * A client for the scripts of the value store. It reconnects by itself until it is closed. `ca` is PEM: the authority
 * of the store's certificate, if Node does not trust it by default.
 */
export function scriptClient(address: StoreAddress, ca?: string): Redis | Cluster {
  if (address.kind !== 'cluster') {
    const client = new Redis({
      ...promptOptions,
      ...hostOptions(address, ca),
      enableOfflineQueue: false,
      retryStrategy: retryMs,
      connectionName: 'dibs-store',
      // After a failover the old master says so to the first write; only a new connection finds the new one.
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
    });
    return inItsDatabase(client);
  }
  return clusterClient(address, 'dibs-store', { ca });
}

/** A client for a whole cluster, which finds out by itself which node has which keys. */
export function clusterClient(
  address: ClusterAddress,
  connectionName: string,
  { socketTimeout, ca }: { readonly socketTimeout?: number; readonly ca?: string | undefined },
): Cluster {
  const tls = address.tls ? tlsOptions(ca) : undefined;
  return new Cluster([...address.nodes], {
    // By default ioredis connects to the addresses behind the names, which no certificate is made for.
    dnsLookup: address.tls ? (name, done) => done(null, name) : undefined,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryMs,
    clusterNodeRetryStrategy: retryMs,
    // 0 hands these errors to the caller instead of sending the step once more.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    slotsRefreshInterval: SLOTS_REFRESH_MS,
    redisOptions: { ...promptOptions, ...credentialsOf(address), connectionName, socketTimeout, tls },
  });
}

/**
 * A client for one connection that never reconnects: a subscription, or one question. Each node of a cluster receives
 * what is published on any node, so `attempt` may choose one in turn.
 */
export function singleClient(
  address: StoreAddress,
  attempt: number,
  connectionName: string,
  { ca, socketTimeout }: { ca?: string | undefined; socketTimeout?: number } = {},
): Redis {
  if (address.kind === 'cluster') return entryClient(address, attempt, connectionName, { ca, socketTimeout });
  return inItsDatabase(onceClient(hostOptions(address, ca), connectionName, { socketTimeout }));
}

/** The same for one node of a cluster, or for one sentinel, by its place in the URL. */
export function entryClient(
  address: ClusterAddress | SentinelAddress,
  attempt: number,
  connectionName: string,
  { ca, ...options }: { ca?: string | undefined } & OnceOptions = {},
): Redis {
  return onceClient(entryOptions(address, attempt, ca), connectionName, options);
}

type OnceOptions = Pick<RedisOptions, 'socketTimeout' | 'enableReadyCheck'>;

function onceClient(place: RedisOptions, connectionName: string, options: OnceOptions): Redis {
  return new Redis({
    ...promptOptions,
    ...place,
    ...options,
    lazyConnect: true,
    retryStrategy: null,
    autoResubscribe: false,
    connectionName,
  });
}

export function hostOptions(address: Exclude<StoreAddress, { kind: 'cluster' }>, ca?: string) {
  const credentials = credentialsOf(address);
  if (address.kind === 'sentinel') return { ...credentials, ...sentinelOptions(address, ca) };
  return { ...credentials, ...placeOf(address, address.tls, ca), db: address.db };
}

function entryOptions(address: ClusterAddress | SentinelAddress, attempt: number, ca: string | undefined) {
  const hosts = address.kind === 'cluster' ? address.nodes : address.sentinels;
  const host = hosts[attempt % hosts.length];
  if (host === undefined) throw new Error('a URL names at least one host');
  const credentials = address.kind === 'cluster' ? credentialsOf(address) : address.ofSentinels;
  return { ...credentials, ...placeOf(host, address.tls, ca) };
}

function sentinelOptions(
  { sentinels, name, tls: isTls, ofSentinels }: SentinelAddress,
  ca: string | undefined,
) {
  const tls = isTls ? tlsOptions(ca) : undefined;
  return {
    sentinels: [...sentinels],
    name,
    role: 'master' as const,
    sentinelUsername: ofSentinels?.username,
    sentinelPassword: ofSentinels?.password,
    // Without this, `tls` is ignored.
    enableTLSForSentinelMode: isTls,
    tls,
    sentinelTLS: tls,
    sentinelCommandTimeout: SENTINEL_MS_MAX,
    // A master that fell silent and was replaced still has invalidated values: the client leaves it as soon as the
    // sentinels report the change, even on an idle connection.
    failoverDetector: true,
  };
}

/** An address is not a server name (RFC 6066); the certificate is still checked against it. */
function placeOf({ host, port }: RedisHost, isTls: boolean, ca: string | undefined) {
  const servername = isIP(host) === 0 ? host : undefined;
  return { host, port, tls: isTls ? { ...tlsOptions(ca), servername } : undefined };
}

/**
 * Names no server, because the names of some are only learned later. Node then checks a certificate against the host
 * that it connects to.
 */
function tlsOptions(ca: string | undefined) {
  return { minVersion: 'TLSv1.2' as const, ca };
}

function credentialsOf({ username, password }: StoreAddress): Credentials {
  return { username, password };
}
