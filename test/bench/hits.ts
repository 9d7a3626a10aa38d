import { Redis } from 'ioredis';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { bytes as asBytes } from '../../clients/typescript/src/codec.js';
import { Fleet } from '../support/fleet.js';
import type { Replica } from '../support/replica.js';
import { BareEcho } from './bare-echo.js';
import { type AnyRow, AS_SHIPPED, type Bench } from './bench.js';
import { ClientProcess } from './client-process.js';
import type { HitOrder, HitWay } from './hit-client.js';
import { Memcached } from './memcached.js';
import { MetaClient } from './meta-client.js';
import { rates, type Way, type Work } from './rate.js';

const KEYS = 1_000;
const SETTINGS = [
  { bytes: 100, inFlight: 256 },
  { bytes: 100, inFlight: 64 },
  { bytes: 10_240, inFlight: 256 },
];
const ttlMs = 3_600_000;
const PIPELINED = 'ioredis GET, automatic pipelining';
const META = 'memcached mg, in one write a turn';
/** V8 has optimized everything after some 300,000 hits. A service runs for longer than that. */
const WARM_UP_MS = 4_000;

/** Hits a second and their CPU time, of client and server together, with all ways in turn in one run. */
export const hits: Bench = {
  name: 'hits',
  async run() {
    const fleet = await Fleet.start({ replicas: 2, env: AS_SHIPPED });
    const [near, unary] = fleet.replicas as [Replica, Replica];
    const far = await fleet.addReplica({ DIBS_NEAR_CACHE_BYTES: '0' });
    const echo = await BareEcho.start();
    const memcached = await Memcached.start();
    const asks = (name: string, by: HitWay, serverPid: number, target: string) => {
      const client = ClientProcess.start<HitOrder, Work>('./hit-client.js', [by, target]);
      return { name, serverPid, client };
    };
    const { pid, url } = fleet.store;
    const asked = [
      asks('session, near cache', 'session', near.pid, near.target),
      asks('session, value store', 'session', far.pid, far.target),
      asks('unary, near cache', 'unary', unary.pid, unary.target),
      asks("the client's own near cache", 'near', 0, near.target),
      asks('bare grpc-js echo', 'echo', echo.pid, echo.target),
      asks('ioredis GET', 'get', pid, url),
      asks(PIPELINED, 'pipelined', pid, url),
      ...(memcached === undefined ? [] : [asks(META, 'meta', memcached.pid, `${memcached.port}`)]),
    ];
    try {
      const rows: AnyRow[] = [];
      for (const { bytes, inFlight } of SETTINGS) {
        const keys = Array.from({ length: KEYS }, (_, at) => `${bytes}:${at}`);
        await fill(fleet, memcached, keys, bytes);
        const ways = asked.map(
          ({ name, serverPid, client }): Way => ({
            name,
            serverPid,
            run: (atOnce, ms) => client.carryOut({ keys, bytes, inFlight: atOnce, ms }),
          }),
        );
        const of = await rates(ways, inFlight, WARM_UP_MS);
        const title = `${bytes} bytes, ${inFlight} in flight`;
        const measured = of('session, near cache');
        const [get, pipelined] = [of('ioredis GET'), of(PIPELINED)];
        const inProcess = of("the client's own near cache");
        rows.push(
          { kind: 'rates', title, measured, alternative: pipelined, ratioMin: 1 },
          ...(memcached === undefined
            ? []
            : [{ kind: 'rates', title, measured, alternative: of(META) } as const]),
          { kind: 'rates', title, measured: of('session, value store'), alternative: pipelined },
          { kind: 'rates', title, measured, alternative: get },
          {
            ...{ kind: 'rates', title, measured: of('unary, near cache') },
            ...{ alternative: of('bare grpc-js echo'), ratioMin: 0.8 },
          },
          { kind: 'rates', title, measured: inProcess, alternative: get, ratioMin: 50 },
        );
      }
      return rows;
    } finally {
      for (const { client } of asked) client.stop();
      echo.stop();
      await memcached?.stop();
      await fleet.stop();
    }
  },
};

/** The same values through Dibs, and as plain keys of Redis and of memcached. */
async function fill(
  fleet: Fleet,
  memcached: Memcached | undefined,
  keys: readonly string[],
  bytes: number,
): Promise<void> {
  const value = Buffer.alloc(bytes, 'v');
  const client = new DibsClient({ target: (fleet.replicas[0] as Replica).target });
  const redis = new Redis(fleet.store.url);
  const meta = memcached === undefined ? undefined : new MetaClient(memcached.port);
  const options = { ttlMs, codec: asBytes() };
  await Promise.all(
    keys.map(async (key) => {
      await client.getOrRebuild(key, () => value, options);
      await redis.set(key, value);
      await meta?.set(key, value, ttlMs / 1_000);
    }),
  );
  client.close();
  redis.disconnect();
  meta?.close();
}
