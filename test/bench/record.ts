import { Redis } from 'ioredis';
import { cpuMsOf } from '../support/cpu-of.js';
import { percentile } from '../support/percentile.js';
import { RedisServer } from '../support/redis-server.js';
import type { AnyRow, Bench } from './bench.js';

const KEYS = 20_000;
const IN_FLIGHT = 200;
const ROUNDS = 5;
const SIZES = [100, 10_000];

/** As long as those of a record. */
const FIELDS: readonly (readonly [name: string, value: string])[] = [
  ['fence', '1800000023008000'],
  ['nonce', '00004nAeo170FKTCtp2NlC.builder-2'],
  ['lease_until', '1800000023008'],
  ['holder', 'pod-7'],
  ['reason', 'miss'],
  ['value_fence', '1800000023008000'],
  ['fresh_until', '1800000023'],
  ['serve_until', '1800000023'],
  ['tags', 'a b'],
  ['clock', 'clock2.1'],
  ['last_end', 'published'],
];
const NAMES = FIELDS.map(([name]) => `'${name}'`).join(',');
const PAIRS = FIELDS.map(([name], at) => `'${name}',ARGV[${at + 2}]`).join(',');
const KEEP = "redis.call('PEXPIRE',KEYS[1],60000)";
const WAYS = {
  'one hash': {
    write: `redis.call('HSET',KEYS[1],${PAIRS},'value',ARGV[1]) ${KEEP}`,
    read: `return redis.call('HMGET',KEYS[1],${NAMES},'value')`,
  },
  'two keys': {
    write: `redis.call('HSET',KEYS[1],${PAIRS}) ${KEEP} redis.call('SET',KEYS[2],ARGV[1],'PX',30000)`,
    read: `local all=redis.call('HMGET',KEYS[1],${NAMES}) all[#all+1]=redis.call('GET',KEYS[2]) return all`,
  },
};

/** The cost of keeping a value in a separate key instead of its record's hash, with scripts that do nothing else. */
export const record: Bench = {
  name: 'record',
  async run(): Promise<AnyRow[]> {
    const server = await RedisServer.start();
    const redis = new Redis(server.url);
    try {
      const rows: AnyRow[] = [];
      for (const bytes of SIZES) rows.push(...(await costsOf(server, redis, Buffer.alloc(bytes, 'v'))));
      return rows;
    } finally {
      redis.disconnect();
      await server.stop();
    }
  },
};

async function costsOf(server: RedisServer, redis: Redis, value: Buffer): Promise<AnyRow[]> {
  const costs = new Map<string, number[]>();
  const memory: string[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [way, { write, read }] of Object.entries(WAYS)) {
      await redis.flushall();
      const emptyBytes = await memoryOf(redis);
      for (const [step, script, args] of [
        ['write', write, [value, ...FIELDS.map(([, text]) => text)]],
        ['read', read, []],
      ] as const) {
        const name = `${step}, ${way}`;
        const cpuUs = await cpuUsOf(server, redis, script, args);
        costs.set(name, [...(costs.get(name) ?? []), cpuUs]);
      }
      const perKey = ((await memoryOf(redis)) - emptyBytes) / KEYS;
      if (round === 0) memory.push(`${way}: ${perKey.toFixed(0)} bytes a key`);
    }
  }
  return [...costs].map(([name, cpuUs], at) => ({
    kind: 'bound',
    name: `a value of ${value.byteLength.toLocaleString('en')} bytes, ${name}, CPU of the store`,
    value: percentile(cpuUs, 0.5),
    unit: 'µs',
    facts: at < costs.size - 1 ? [] : memory,
  }));
}

/** For each key. */
async function cpuUsOf(
  server: RedisServer,
  redis: Redis,
  script: string,
  args: readonly (string | Buffer)[],
): Promise<number> {
  const sha = String(await redis.script('LOAD', script));
  const beforeMs = cpuMsOf(server.pid);
  for (let from = 0; from < KEYS; from += IN_FLIGHT) {
    const calls = Array.from({ length: IN_FLIGHT }, (_, at) => {
      const keys = [`key{${from + at}}`, `value{${from + at}}`];
      return redis.evalsha(sha, keys.length, ...keys, ...args);
    });
    await Promise.all(calls);
  }
  return (1_000 * (cpuMsOf(server.pid) - beforeMs)) / KEYS;
}

async function memoryOf(redis: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
}
