import { Caller } from '../support/caller.js';
import { Fleet } from '../support/fleet.js';
import { expire, Origin, stampede } from '../support/stampede.js';
import { type Bench, measured, type Row, row } from './bench.js';

const ROUNDS = 10;
const CALLERS = 1_000;
const REBUILD_MS = 50;

/** How long 1,000 callers of an expired key wait, if a stale value is allowed and if not. */
export const stale: Bench = {
  name: 'stale',
  async run(): Promise<Row[]> {
    const fleet = await Fleet.start({ replicas: 3 });
    const callers = fleet.replicas.map(({ target }) => new Caller(target));
    try {
      await Promise.all(callers.map((caller) => caller.connect()));
      const took = { stale: [] as number[], plain: [] as number[] };
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const [how, staleMs] of [
          ['stale', 60_000],
          ['plain', 0],
        ] as const) {
          const key = `${how} ${round}`;
          await expire(callers[0] as Caller, [key], staleMs);
          const origin = new Origin(REBUILD_MS);
          const answers = await stampede(callers, [key], CALLERS, origin);
          if (origin.calls !== 1) throw new Error(`${origin.calls} rebuilds of one key`);
          took[how].push(...answers.map(({ tookMs }) => tookMs));
        }
      }
      const name = `1,000 callers, a rebuild of ${REBUILD_MS} ms`;
      return [row(measured(`${name}, stale allowed`, took.stale), measured(`${name}, all wait`, took.plain))];
    } finally {
      for (const caller of callers) caller.close();
      await fleet.stop();
    }
  },
};
