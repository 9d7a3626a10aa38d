import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisServer } from '../../support/redis-server.js';
import type { SeededRandom } from '../../support/seeded-random.js';
import type { ClientProcesses } from './client-processes.js';
import type { FaultyFleet } from './faulty-fleet.js';
import type { Window } from './history.js';

export interface Victims {
  readonly fleet: FaultyFleet;
  readonly clients: ClientProcesses;
  readonly random: SeededRandom;
  /** Excuses callers during another window. */
  excuse(window: Window): void;
}

/** Breaks one part for about `ms` milliseconds, and repairs it. */
export interface FaultKind {
  readonly name: string;
  /** What excuses callers while it lasts. */
  readonly excuses?: 'stopped' | 'store';
  inflict(victims: Victims, ms: number): Promise<void>;
}

const cli = (server: RedisServer, ...args: string[]) =>
  execFileSync('redis-cli', ['-p', String(server.port), ...args], { stdio: 'pipe', timeout: 5_000 });

const nowMs = () => Number(process.hrtime.bigint()) / 1e6;

/** Returns namespace and key of a record from its name in the store, with a zero byte between them. */
const idIn = (record: string) => Buffer.from(record.slice('dibs:{'.length, -1), 'base64url').toString();

/** Drops the record whose lease runs for longest. */
const LOSE_RECORD = `
local lost, until_us = '', 0
for _, record in ipairs(redis.call('KEYS', 'dibs:{*}')) do
  local ends = tonumber(redis.call('HGET', record, 'lease_until') or 0)
  if ends > until_us then lost, until_us = record, ends end
end
if lost ~= '' then redis.call('DEL', lost) end
return lost`;

/** A fault that commands to a node cause and revert. */
const told = (name: string, on: string[][], off: string[][]): FaultKind => ({
  name,
  async inflict({ fleet, random }, ms) {
    const node = random.pick(fleet.nodes);
    for (const command of on) cli(node, ...command);
    if (off.length === 0) return;
    await sleep(ms);
    for (const command of off) cli(node, ...command);
  },
});

const proxied = (name: string, trouble: Parameters<FaultyFleet['storeProxy']['behave']>[0]): FaultKind => ({
  name,
  async inflict({ fleet, random }, ms) {
    const proxy = random.pick(fleet.nodeProxies);
    proxy.behave(trouble);
    await sleep(ms);
    proxy.behave({});
  },
});

const proxiedStore = (
  name: string,
  trouble: Parameters<FaultyFleet['storeProxy']['behave']>[0],
): FaultKind => ({
  name,
  excuses: 'store',
  async inflict({ fleet }, ms) {
    fleet.storeProxy.behave(trouble);
    await sleep(ms);
    fleet.storeProxy.behave({});
  },
});

export const FAULT_KINDS: readonly FaultKind[] = [
  {
    name: 'node killed, restarted empty',
    async inflict({ fleet, random }, ms) {
      const node = random.pick(fleet.nodes);
      await node.kill();
      await sleep(ms);
      await node.restart();
    },
  },
  {
    name: 'node restarted from a snapshot',
    async inflict({ fleet, random }) {
      const node = random.pick(fleet.nodes);
      cli(node, 'SAVE');
      await node.restart();
    },
  },
  {
    name: 'node stopped',
    async inflict({ fleet, random }, ms) {
      const node = random.pick(fleet.nodes);
      node.hang();
      await sleep(ms);
      node.resume();
    },
  },
  {
    name: 'three nodes stopped',
    async inflict({ fleet }, ms) {
      const nodes = fleet.nodes.slice(0, 3);
      for (const node of nodes) node.hang();
      await sleep(ms);
      for (const node of nodes) node.resume();
    },
  },
  told('node flushed', [['FLUSHALL']], []),
  {
    // While the record exists, it prevents a second lease, so a wrong vote would not be noticed.
    name: 'nodes flushed, and a record lost',
    async inflict({ fleet: { nodes, store }, random, excuse }) {
      const from = nowMs();
      const forgets = nodes.slice(0, random.pick([3, 4, 5])).map((node) => node.command('FLUSHALL'));
      const record = (await store.command('EVAL', LOSE_RECORD, '0')).trim();
      await Promise.all(forgets);
      const [namespace, key] = idIn(record).split('\0');
      excuse({ kind: 'forgotten', key: `${namespace}/${key}`, from, to: nowMs() });
    },
  },
  told('node loses its scripts', [['SCRIPT', 'FLUSH']], []),
  told('node loses its connections', [['CLIENT', 'KILL', 'TYPE', 'normal']], []),
  told(
    'node may evict',
    [['CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru']],
    [['CONFIG', 'SET', 'maxmemory-policy', 'noeviction']],
  ),
  told('node out of memory', [['CONFIG', 'SET', 'maxmemory', '1']], [['CONFIG', 'SET', 'maxmemory', '0']]),
  told('node read-only', [['REPLICAOF', '127.0.0.1', '1']], [['REPLICAOF', 'NO', 'ONE']]),
  proxied('node is slow', { delayMs: 60 }),
  proxied('node is very slow', { delayMs: 300 }),
  proxied('node hears nothing', { swallow: 'all' }),
  proxied("node's replies are lost", { swallow: 'replies' }),
  {
    name: "node's connections are reset",
    async inflict({ fleet, random }) {
      random.pick(fleet.nodeProxies).reset();
    },
  },
  {
    name: 'store stopped',
    excuses: 'store',
    async inflict({ fleet }, ms) {
      fleet.store.hang();
      await sleep(ms);
      fleet.store.resume();
    },
  },
  proxiedStore('store is slow', { delayMs: 40 }),
  proxiedStore('store hears nothing', { swallow: 'all' }),
  proxiedStore("store's replies are lost", { swallow: 'replies' }),
  {
    name: "store's connections are reset",
    excuses: 'store',
    async inflict({ fleet }) {
      fleet.storeProxy.reset();
    },
  },
  {
    name: 'subscriptions killed',
    async inflict({ fleet }) {
      cli(fleet.store, 'CLIENT', 'KILL', 'TYPE', 'pubsub');
    },
  },
  {
    name: 'replica stopped',
    excuses: 'stopped',
    async inflict({ fleet, random }, ms) {
      const replica = random.pick(fleet.replicas);
      replica.signal('SIGSTOP');
      await sleep(ms);
      replica.signal('SIGCONT');
    },
  },
  {
    name: "replica's wall clock jumps",
    async inflict({ fleet, random }, ms) {
      fleet.clock?.jumpTo(random.pick([-3_600, -2, 2, 3_600]));
      await sleep(ms);
      fleet.clock?.jumpTo(0);
    },
  },
  {
    name: 'replica killed',
    async inflict({ fleet, random }, ms) {
      const at = random.below(fleet.replicas.length);
      await fleet.replicas[at]?.kill();
      await sleep(ms);
      await fleet.startReplica(at);
    },
  },
  {
    name: 'replica drained',
    async inflict({ fleet, random }) {
      const at = random.below(fleet.replicas.length);
      const replica = fleet.replicas[at];
      replica?.signal('SIGTERM');
      const end = await replica?.ended;
      if (end?.code !== 0)
        throw new Error(`a drained replica ended with ${end?.signal ?? end?.code}: ${replica?.log}`);
      await fleet.startReplica(at);
    },
  },
  {
    name: 'holders killed',
    async inflict({ clients, random }) {
      await clients.replace(random.below(clients.count));
    },
  },
  {
    name: 'holders stopped',
    excuses: 'stopped',
    async inflict({ clients, random }, ms) {
      const at = random.below(clients.count);
      clients.signal(at, 'SIGSTOP');
      await sleep(ms);
      clients.signal(at, 'SIGCONT');
    },
  },
];
