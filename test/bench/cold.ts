import { DibsClient } from '../../clients/typescript/src/client.js';
import { Fleet } from '../support/fleet.js';
import type { AnyRow, Bench } from './bench.js';
import { rates, repeating, type Way } from './rate.js';
import { Recipe } from './recipes.js';

const IN_FLIGHT = 64;
const VALUE = Buffer.alloc(100, 'v');
const ttlMs = 3_600_000;

/** Miss, lease and publish of a new key each time, compared with the same cycle by ioredis and redlock directly. */
export const cold: Bench = {
  name: 'cold',
  async run(): Promise<AnyRow[]> {
    // With the settings of the image and `npm start`.
    const fleet = await Fleet.start({ replicas: 1, env: { NODE_OPTIONS: '--max-semi-space-size=64' } });
    const [replica] = fleet.replicas as [(typeof fleet.replicas)[0]];
    const client = new DibsClient({ target: replica.target });
    const unary = new DibsClient({ target: replica.target, session: false });
    const direct = new Recipe(fleet);
    const pipelined = new Recipe(fleet, { pipelining: true });
    try {
      const byDibs = (by: DibsClient, name: string) => async (at: number) => {
        const key = `${name} ${at}`;
        const outcome = await by.getOrLock({ key });
        if (outcome.kind !== 'lease') throw new Error(`expected a lease, got ${outcome.kind}`);
        await by.publish({ key, token: outcome.token, value: VALUE, ttlMs });
      };
      const byRecipe = (by: Recipe, name: string) => async (at: number) => {
        const key = `${name} ${at}`;
        if ((await by.store.getBuffer(key)) !== null) throw new Error('expected a miss');
        if ((await by.cycle(key, async () => VALUE)) === undefined) throw new Error('expected the lock');
      };
      const ways: Way[] = [
        { name: 'Dibs, session', serverPid: replica.pid, run: repeating(byDibs(client, 'session')) },
        { name: 'Dibs, unary', serverPid: replica.pid, run: repeating(byDibs(unary, 'unary')) },
        { name: 'ioredis and redlock', serverPid: 0, run: repeating(byRecipe(direct, 'direct')) },
        {
          name: 'ioredis and redlock, automatic pipelining',
          serverPid: 0,
          run: repeating(byRecipe(pipelined, 'pipelined')),
        },
      ];
      const of = await rates(ways, IN_FLIGHT);
      const title = `cold cycles, ${IN_FLIGHT} in flight`;
      const ours = of('Dibs, session');
      return [
        { kind: 'rates', title, measured: ours, alternative: of('ioredis and redlock'), ratioMin: 1 },
        {
          ...{ kind: 'rates', title, measured: ours },
          ...{ alternative: of('ioredis and redlock, automatic pipelining'), ratioMin: 0.8 },
        },
        { kind: 'rates', title, measured: of('Dibs, unary'), alternative: of('ioredis and redlock') },
      ];
    } finally {
      for (const one of [client, unary, direct, pipelined]) one.close();
      await fleet.stop();
    }
  },
};
