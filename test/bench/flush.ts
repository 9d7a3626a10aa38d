import { loadavg } from 'node:os';
import { DibsClient } from '../../clients/typescript/src/client.js';
import { bytes } from '../../clients/typescript/src/codec.js';
import { mainThreadMsOf } from '../support/cpu-of.js';
import { Fleet } from '../support/fleet.js';
import { type Bench, measured, type Row, row } from './bench.js';
import { cpuUsOf } from './rate.js';
import { Recipe } from './recipes.js';

const KEYS = 10_000;
/** `getOrRebuildMany` takes at most so many keys. */
const KEYS_PER_CALL = 1_000;
const ROUNDS = 7;
/** Code is slow until it has been compiled. */
const WARM_UP_ROUNDS = 3;
const VALUE = Buffer.alloc(100, 'v');
const ttlMs = 3_600_000;

type Way = (prefix: string) => Promise<unknown>;

const all = <T>(count: number, one: (at: number) => T): T[] =>
  Array.from({ length: count }, (_, at) => one(at));

/** 10,000 keys that nothing has any more, all requested at once by one process. A rebuild takes no time. */
export const flush: Bench = {
  name: 'flush',
  async run(): Promise<Row[]> {
    const fleet = await Fleet.start({ replicas: 2, env: { NODE_OPTIONS: '--max-semi-space-size=64' } });
    const target = fleet.replicas.map((replica) => replica.target).join(',');
    const client = new DibsClient({ target });
    const recipe = new Recipe(fleet, { pipelining: true });
    const options = { ttlMs, codec: bytes() };
    const ways: Record<string, Way> = {
      'Dibs, a call for each': (prefix) =>
        Promise.all(all(KEYS, (at) => client.getOrRebuild(`${prefix} ${at}`, () => VALUE, options))),
      'Dibs, calls for 1,000': (prefix) =>
        Promise.all(
          all(KEYS / KEYS_PER_CALL, (call) => {
            const keys = all(KEYS_PER_CALL, (at) => `${prefix} ${call} ${at}`);
            return client.getOrRebuildMany(
              keys,
              (missing) => new Map(missing.map((key) => [key, VALUE])),
              options,
            );
          }),
        ),
      'ioredis and redlock, automatic pipelining': (prefix) =>
        Promise.all(all(KEYS, (at) => recipe.getOrRebuild(`${prefix} ${at}`, async () => VALUE))),
    };
    const used = () => {
      const own = process.cpuUsage();
      const redis = (nodes: readonly { pid: number }[]) =>
        nodes.reduce((sum, { pid }) => sum + mainThreadMsOf(pid) * 1_000, 0);
      return [
        own.user + own.system,
        fleet.replicas.reduce((sum, { pid }) => sum + cpuUsOf(pid), 0),
        redis(fleet.lockNodes),
        redis([fleet.store]),
      ];
    };
    const cpu: Record<string, number[][]> = {};
    const tookMs: Record<string, number[]> = {};
    try {
      for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round += 1) {
        for (const [name, way] of Object.entries(ways)) {
          const startMs = performance.now();
          const before = used();
          await way(`${name} ${round}`);
          const after = used();
          if (round >= 0)
            (cpu[name] ??= []).push(after.map((us, i) => Math.round((us - (before[i] ?? 0)) / KEYS)));
          if (round >= 0) (tookMs[name] ??= []).push(performance.now() - startMs);
        }
      }
      console.log(cpu, tookMs);
      const [each, many, theirs] = Object.keys(ways).map((name) => measured(name, tookMs[name] ?? []));
      if (each === undefined || many === undefined || theirs === undefined)
        throw new Error('a way is missing');
      const facts = [`${KEYS.toLocaleString('en')} keys, load ${loadavg()[0]?.toFixed(1)}`];
      return [row(each, theirs, { facts }), row(many, theirs, { facts, ratioMax: 0.5 })];
    } finally {
      client.close();
      recipe.close();
      await fleet.stop();
    }
  },
};
