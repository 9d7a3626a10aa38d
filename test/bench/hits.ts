import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { Fleet } from '../support/fleet.js';
import { BareEcho } from './bare-echo.js';
import type { Bench, Rate, RateRow } from './bench.js';

const KEYS = 1_000;
const IN_FLIGHT = 256;
const ROUNDS = 3;
const ROUND_MS = 1_500;
const WARM_UP_MS = 700;

/** One way to read a value: `read` resolves when it has come. */
interface Way {
  readonly name: string;
  readonly serverPid: number;
  read(key: string): Promise<unknown>;
}

/** Hits a second and their CPU, on client and server together, each way in turn in one run. */
export const hits: Bench = {
  name: 'hits',
  async run() {
    const fleet = await Fleet.start({ replicas: 2 });
    const far = await fleet.addReplica({ DIBS_NEAR_CACHE_BYTES: '0' });
    const near = fleet.replicas[0] as (typeof fleet.replicas)[0];
    const echo = await BareEcho.start();
    const redis = new Redis(fleet.store.url);
    const pipelined = new Redis(fleet.store.url, { enableAutoPipelining: true });
    const client = (target: string, session: boolean) => new DibsClient({ target, session });
    const clients = [client(near.target, true), client(far.target, true), client(near.target, false)];
    const [session, farSession, unary] = clients as [DibsClient, DibsClient, DibsClient];
    try {
      const rows: RateRow[] = [];
      for (const bytes of [100, 10_240]) {
        const value = Buffer.alloc(bytes, 'v');
        const keyOf = (key: string) => `${bytes} ${key}`;
        const names = Array.from({ length: KEYS }, (_, at) => keyOf(`${at}`));
        await Promise.all(
          names.map(async (key) => {
            await session.getOrRebuild(key, () => value, { ttlMs: 3_600_000 });
            await redis.set(key, value);
          }),
        );
        const hit = (by: DibsClient) => async (key: string) => {
          const { kind } = await by.getOrLock({ key: keyOf(key) });
          if (kind !== 'hit') throw new Error(`expected a hit, got ${kind}`);
        };
        const ways: Way[] = [
          { name: 'session, near cache', serverPid: near.pid, read: hit(session) },
          { name: 'session, value store', serverPid: far.pid, read: hit(farSession) },
          { name: 'unary, near cache', serverPid: near.pid, read: hit(unary) },
          { name: 'bare grpc-js echo', serverPid: echo.pid, read: () => echo.call(value) },
          { name: 'ioredis GET', serverPid: fleet.store.pid, read: (key) => redis.getBuffer(keyOf(key)) },
          {
            name: 'ioredis GET, automatic pipelining',
            serverPid: fleet.store.pid,
            read: (key) => pipelined.getBuffer(keyOf(key)),
          },
        ];
        const rates = new Map<string, Rate[]>(ways.map(({ name }) => [name, []]));
        for (const way of ways) await during(way, WARM_UP_MS);
        // In turns, so that whatever else the machine does meets all of them.
        for (let round = 0; round < ROUNDS; round += 1) {
          for (const way of ways) rates.get(way.name)?.push(await during(way, ROUND_MS));
        }
        const of = (name: string) => median(name, rates.get(name) ?? []);
        const title = `${bytes} bytes, ${IN_FLIGHT} in flight`;
        const pipelinedGet = of('ioredis GET, automatic pipelining');
        rows.push(
          { title, measured: of('session, near cache'), alternative: pipelinedGet, ratioMin: 2 },
          { title, measured: of('session, value store'), alternative: pipelinedGet },
          { title, measured: of('session, near cache'), alternative: of('ioredis GET') },
          { title, measured: of('unary, near cache'), alternative: of('bare grpc-js echo'), ratioMin: 0.8 },
        );
      }
      return rows;
    } finally {
      for (const one of clients) one.close();
      redis.disconnect();
      pipelined.disconnect();
      echo.stop();
      await fleet.stop();
    }
  },
};

/** Keeps so many reads under way for `ms`. */
async function during({ name, serverPid, read }: Way, ms: number): Promise<Rate> {
  let done = 0;
  let going = true;
  const startMs = performance.now();
  const [ownBefore, theirsBefore] = [process.cpuUsage(), cpuUsOf(serverPid)];
  const one = async (at: number) => {
    for (let next = at; going; next += IN_FLIGHT) {
      await read(`${next % KEYS}`);
      done += 1;
    }
  };
  setTimeout(() => {
    going = false;
  }, ms);
  await Promise.all(Array.from({ length: IN_FLIGHT }, (_, at) => one(at)));
  const own = process.cpuUsage(ownBefore);
  const seconds = (performance.now() - startMs) / 1_000;
  return {
    name,
    perSecond: done / seconds,
    clientUs: (own.user + own.system) / done,
    serverUs: (cpuUsOf(serverPid) - theirsBefore) / done,
  };
}

/** What a process has used, in microseconds; the kernel counts in hundredths of a second. */
function cpuUsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function median(name: string, rates: readonly Rate[]): Rate {
  const middle = (pick: (rate: Rate) => number) =>
    rates.map(pick).sort((a, b) => a - b)[Math.floor(rates.length / 2)] ?? 0;
  return {
    name,
    perSecond: middle(({ perSecond }) => perSecond),
    clientUs: middle(({ clientUs }) => clientUs),
    serverUs: middle(({ serverUs }) => serverUs),
  };
}
