import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { TestAuthority } from './certificates.js';
import { freePort, RedisServer } from './redis-server.js';
import { until } from './until.js';

/** A value store of several servers. If one falls silent, another takes over. */
export interface ReplicatedStore {
  readonly url: string;
  /** The server that is now the master of a record. */
  masterOf(recordKey: string): Promise<RedisServer>;
  stop(): Promise<void>;
}

/** How long a master may be silent before it is replaced. A busy machine must not replace one by itself. */
const SILENT_MS = 4_000;
/** A server that hangs must not hold up a question to all of them. */
const ANSWER_MS_MAX = 5_000;

const READY_MS_MAX = 60_000;

/** A replica takes over only with all data. By default it waits five seconds before it gets them. */
const SYNC_AT_ONCE = ['--repl-diskless-sync-delay', '0'];

const run = promisify(execFile);
const cli = async (server: RedisServer, ...args: string[]) =>
  (await run('redis-cli', ['-p', `${server.port}`, ...args], { timeout: ANSWER_MS_MAX })).stdout.trim();

export interface ReplicatedStoreOptions {
  /** With it, everything uses TLS: servers, replication, sentinels and the cluster's bus. */
  readonly authority?: TestAuthority;
}

/** Without an authority, the usual port. With one, clients use another port, and tests use the plain one. */
async function portOf(authority: TestAuthority | undefined): Promise<{ port?: number; args: string[] }> {
  if (authority === undefined) return { args: [] };
  const port = await freePort();
  const { cert, key } = authority.issue();
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', authority.ca];
  const args = ['--tls-port', `${port}`, '--tls-auth-clients', 'no', '--tls-replication', 'yes', ...files];
  return { port, args };
}

const stopAll = async (servers: readonly RedisServer[]) => {
  await Promise.all(servers.map((server) => server.stop()));
};

export interface SentinelStoreOptions extends ReplicatedStoreOptions {
  /** The rule of a sentinel user, as in an ACL file. Only this user and the other sentinels may ask the sentinels. */
  readonly sentinelUser?: string;
}

/** The password that the sentinels use among themselves if they have users. */
const SENTINEL_PASSWORD = 'of-the-sentinels';

/** A master, a replica of it, and three sentinels that watch them. */
export async function startSentinelStore({ authority, sentinelUser }: SentinelStoreOptions = {}): Promise<
  ReplicatedStore & {
    readonly sentinels: readonly RedisServer[];
    /** The refusals of its users that it logged. */
    aclLog(sentinel: RedisServer): Promise<string>;
  }
> {
  const ports = await Promise.all([1, 2, 3, 4, 5].map(() => portOf(authority)));
  const [ofMaster, ofReplica, ...ofSentinels] = ports as [(typeof ports)[0], ...typeof ports];
  const master = await RedisServer.start({ args: [...SYNC_AT_ONCE, ...ofMaster.args] });
  const masterPort = ofMaster.port ?? master.port;
  const args = [...SYNC_AT_ONCE, '--replicaof', '127.0.0.1', `${masterPort}`, ...(ofReplica?.args ?? [])];
  const replica = await RedisServer.start({ args });
  const users = [`user ${sentinelUser}`, `user default on >${SENTINEL_PASSWORD} ~* &* +@all`];
  const peers = `sentinel sentinel-pass ${SENTINEL_PASSWORD}`;
  const config = [
    `sentinel monitor values 127.0.0.1 ${masterPort} 2`,
    `sentinel down-after-milliseconds values ${SILENT_MS}`,
    'sentinel failover-timeout values 10000',
    ...(sentinelUser === undefined ? [] : [...users, peers]),
  ].join('\n');
  const sentinels = await Promise.all(
    ofSentinels.map(({ args }) => RedisServer.start({ config, args: ['--sentinel', ...args] })),
  );
  const login = sentinelUser === undefined ? [] : ['-a', SENTINEL_PASSWORD, '--no-auth-warning'];
  const ask = (sentinel: RedisServer, ...command: string[]) => cli(sentinel, ...login, ...command);
  const servers = [master, replica];
  // The sentinels find each other and the replica through the master.
  const known = (one: RedisServer) => ask(one, 'SENTINEL', 'MASTER', 'values').catch(() => '');
  for (const one of sentinels)
    await until(async () => /num-slaves\n1\nnum-other-sentinels\n2/.test(await known(one)), READY_MS_MAX);
  await until(async () => (await master.replicas()) === 1, READY_MS_MAX);
  const hosts = sentinels.map(({ port }, at) => `127.0.0.1:${ofSentinels[at]?.port ?? port}`);
  return {
    sentinels,
    url: `${authority === undefined ? 'redis' : 'rediss'}+sentinel://${hosts.join(',')}/values`,
    async masterOf() {
      const [sentinel] = sentinels as [RedisServer];
      const answer = await ask(sentinel, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'values');
      const port = Number(answer.split('\n')[1]);
      const at = [ofMaster, ofReplica].findIndex((one) => one?.port === port);
      return servers[at < 0 ? servers.findIndex((one) => one.port === port) : at] as RedisServer;
    },
    aclLog: (one) => ask(one, 'ACL', 'LOG'),
    stop: () => stopAll([...sentinels, ...servers]),
  };
}

export interface ClusterStoreOptions extends ReplicatedStoreOptions {
  /** How long a master may be silent before it is replaced, in milliseconds. */
  readonly silentMs?: number;
}

/** A Redis Cluster of three masters with a replica each. */
export async function startClusterStore({
  authority,
  silentMs = SILENT_MS,
}: ClusterStoreOptions = {}): Promise<ReplicatedStore & { readonly servers: readonly RedisServer[] }> {
  const tls = await Promise.all(Array.from({ length: 6 }, () => portOf(authority)));
  const servers = await Promise.all(
    tls.map(async (own) => {
      const bus = ['--cluster-port', `${await freePort()}`];
      const args = [
        '--cluster-enabled',
        'yes',
        '--cluster-node-timeout',
        `${silentMs}`,
        '--enable-debug-command',
        'yes',
      ];
      const secured = authority === undefined ? [] : ['--tls-cluster', 'yes', ...own.args];
      return RedisServer.start({ args: [...args, ...bus, ...SYNC_AT_ONCE, ...secured] });
    }),
  );
  const hosts = servers.map(({ port }, at) => `127.0.0.1:${tls[at]?.port ?? port}`);
  const trusting = authority === undefined ? [] : ['--tls', '--cacert', authority.ca];
  const create = ['--cluster', 'create', ...hosts, '--cluster-replicas', '1', '--cluster-yes'];
  await run('redis-cli', [...trusting, ...create]);
  /** Empty if it does not answer. */
  const asked = (server: RedisServer, ...what: string[]) => cli(server, 'CLUSTER', ...what).catch(() => '');
  // Each of them may be the one that is asked.
  for (const server of servers) {
    await until(async () => {
      const nodes = await asked(server, 'NODES');
      return /cluster_state:ok/.test(await asked(server, 'INFO')) && nodes.split('slave ').length === 4;
    }, READY_MS_MAX);
  }
  return {
    servers,
    url: `${authority === undefined ? 'redis' : 'rediss'}+cluster://${hosts.join(',')}`,
    async masterOf(recordKey) {
      for (const server of servers) {
        const nodes = await asked(server, 'NODES');
        if (nodes === '') continue;
        const slot = Number(await asked(server, 'KEYSLOT', recordKey));
        for (const line of nodes.split('\n')) {
          const [, address = '', flags = '', , , , , , ...ranges] = line.split(' ');
          const owns = ranges.some((range) => {
            const [from = '', to = from] = range.split('-');
            return Number(from) <= slot && slot <= Number(to);
          });
          const port = Number(/:(\d+)@/.exec(address)?.[1]);
          if (owns && flags.includes('master') && !flags.includes('fail')) {
            return servers.find((other) => other.port === port) as RedisServer;
          }
        }
      }
      throw new Error(`no master of ${recordKey}`);
    },
    stop: () => stopAll(servers),
  };
}
