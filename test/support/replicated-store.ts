import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { freePort, RedisServer } from './redis-server.js';
import { until } from './until.js';

/** A value store of several servers, one of which takes over when another falls silent. */
export interface ReplicatedStore {
  readonly url: string;
  /** The server that takes the writes of a record now. */
  masterOf(recordKey: string): Promise<RedisServer>;
  stop(): Promise<void>;
}

/** How soon a master that does not answer is given up; in production it is some seconds. */
const SILENT_MS = 500;

/** A replica that has not yet all data never takes over; by default it is made to wait for five seconds. */
const SYNC_AT_ONCE = ['--repl-diskless-sync-delay', '0'];

const run = promisify(execFile);
const cli = async (server: RedisServer, ...args: string[]) =>
  (await run('redis-cli', ['-p', `${server.port}`, ...args], { timeout: 2_000 })).stdout.trim();

const stopAll = async (servers: readonly RedisServer[]) => {
  await Promise.all(servers.map((server) => server.stop()));
};

/** A master, a replica of it, and three sentinels that watch them. */
export async function startSentinelStore(): Promise<
  ReplicatedStore & { readonly sentinels: readonly RedisServer[] }
> {
  const master = await RedisServer.start({ args: SYNC_AT_ONCE });
  const args = [...SYNC_AT_ONCE, '--replicaof', '127.0.0.1', `${master.port}`];
  const replica = await RedisServer.start({ args });
  const config = [
    `sentinel monitor values 127.0.0.1 ${master.port} 2`,
    `sentinel down-after-milliseconds values ${SILENT_MS}`,
    'sentinel failover-timeout values 3000',
  ].join('\n');
  const sentinels = await Promise.all(
    [1, 2, 3].map(() => RedisServer.start({ config, args: ['--sentinel'] })),
  );
  const servers = [master, replica];
  const [sentinel] = sentinels as [RedisServer];
  // They find each other and the replica through the master.
  await until(async () => {
    const known = await cli(sentinel, 'SENTINEL', 'MASTER', 'values');
    return /num-slaves\n1\nnum-other-sentinels\n2/.test(known);
  });
  await until(async () => (await master.replicas()) === 1);
  return {
    sentinels,
    url: `redis+sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/values`,
    async masterOf() {
      const [, port] = (await cli(sentinel, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'values')).split('\n');
      return servers.find((server) => server.port === Number(port)) as RedisServer;
    },
    stop: () => stopAll([...sentinels, ...servers]),
  };
}

/** A Redis Cluster of three masters with a replica each. */
export async function startClusterStore(): Promise<
  ReplicatedStore & { readonly servers: readonly RedisServer[] }
> {
  const servers = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const bus = ['--cluster-port', `${await freePort()}`];
      const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', `${SILENT_MS}`];
      return RedisServer.start({ args: [...args, ...bus, ...SYNC_AT_ONCE] });
    }),
  );
  const [first] = servers as [RedisServer];
  const hosts = servers.map(({ port }) => `127.0.0.1:${port}`);
  await run('redis-cli', ['--cluster', 'create', ...hosts, '--cluster-replicas', '1', '--cluster-yes']);
  await until(async () => {
    const nodes = await cli(first, 'CLUSTER', 'NODES');
    return (
      /cluster_state:ok/.test(await cli(first, 'CLUSTER', 'INFO')) && nodes.split(' slave ').length === 4
    );
  });
  return {
    servers,
    url: `redis+cluster://${hosts.join(',')}`,
    async masterOf(recordKey) {
      const slot = Number(await cli(first, 'CLUSTER', 'KEYSLOT', recordKey));
      for (const server of servers) {
        const nodes = await cli(server, 'CLUSTER', 'NODES').catch(() => '');
        if (nodes === '') continue;
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
      throw new Error(`no master of slot ${slot}`);
    },
    stop: () => stopAll(servers),
  };
}
