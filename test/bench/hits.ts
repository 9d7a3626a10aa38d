import { Redis } from 'ioredis';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { bytes as asBytes } from '../../clients/typescript/src/codec.js';
import { Fleet } from '../support/fleet.js';
import { BareEcho } from './bare-echo.js';
import type { AnyRow, Bench } from './bench.js';
import { rates, type Way } from './rate.js';

const KEYS = 1_000;
const IN_FLIGHT = 256;
const ttlMs = 3_600_000;

/** Hits a second and their CPU time, of client and server together, with all ways in turn in one run. */
export const hits: Bench = {
  name: 'hits',
  async run() {
    const fleet = await Fleet.start({ replicas: 2 });
    const far = await fleet.addReplica({ DIBS_NEAR_CACHE_BYTES: '0' });
    const near = fleet.replicas[0] as (typeof fleet.replicas)[0];
    const echo = await BareEcho.start();
    const redis = new Redis(fleet.store.url);
    const pipelined = new Redis(fleet.store.url, { enableAutoPipelining: true });
    const clients = {
      session: new DibsClient({ target: near.target }),
      farSession: new DibsClient({ target: far.target }),
      unary: new DibsClient({ target: near.target, session: false }),
      inProcess: new DibsClient({ target: near.target, nearCache: { maxBytes: 2 ** 28 } }),
    };
    try {
      const rows: AnyRow[] = [];
      for (const bytes of [100, 10_240]) {
        const value = Buffer.alloc(bytes, 'v');
        const names = Array.from({ length: KEYS }, (_, at) => `${bytes} ${at}`);
        const keyOf = (at: number) => names[at % KEYS] as string;
        const rebuild = () => value;
        await Promise.all(
          names.map(async (key) => {
            await clients.session.getOrRebuild(key, rebuild, { ttlMs, codec: asBytes() });
            await redis.set(key, value);
          }),
        );
        const hit = (by: DibsClient) => async (at: number) => {
          const { kind } = await by.getOrLock({ key: keyOf(at) });
          if (kind !== 'hit') throw new Error(`expected a hit, got ${kind}`);
        };
        const never = () => {
          throw new Error('expected a hit');
        };
        const options = { ttlMs, codec: asBytes() };
        const ways: Way[] = [
          { name: 'session, near cache', serverPid: near.pid, once: hit(clients.session) },
          { name: 'session, value store', serverPid: far.pid, once: hit(clients.farSession) },
          { name: 'unary, near cache', serverPid: near.pid, once: hit(clients.unary) },
          {
            name: "the client's own near cache",
            serverPid: 0,
            once: (at) => clients.inProcess.getOrRebuild(keyOf(at), never, options),
          },
          { name: 'bare grpc-js echo', serverPid: echo.pid, once: () => echo.call(value) },
          { name: 'ioredis GET', serverPid: fleet.store.pid, once: (at) => redis.getBuffer(keyOf(at)) },
          {
            name: 'ioredis GET, automatic pipelining',
            serverPid: fleet.store.pid,
            once: (at) => pipelined.getBuffer(keyOf(at)),
          },
        ];
        const of = await rates(ways, IN_FLIGHT);
        const title = `${bytes} bytes, ${IN_FLIGHT} in flight`;
        const [get, pipelinedGet] = [of('ioredis GET'), of('ioredis GET, automatic pipelining')];
        const near50 = of("the client's own near cache");
        rows.push(
          {
            kind: 'rates',
            title,
            measured: of('session, near cache'),
            alternative: pipelinedGet,
            ratioMin: 2,
          },
          { kind: 'rates', title, measured: of('session, value store'), alternative: pipelinedGet },
          { kind: 'rates', title, measured: of('session, near cache'), alternative: get },
          {
            ...{ kind: 'rates', title, measured: of('unary, near cache') },
            ...{ alternative: of('bare grpc-js echo'), ratioMin: 0.8 },
          },
          { kind: 'rates', title, measured: near50, alternative: get, ratioMin: 50 },
        );
      }
      return rows;
    } finally {
      for (const client of Object.values(clients)) client.close();
      redis.disconnect();
      pipelined.disconnect();
      echo.stop();
      await fleet.stop();
    }
  },
};
