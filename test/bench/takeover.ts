import { setTimeout as sleep } from 'node:timers/promises';
import { Caller } from '../support/caller.js';
import { Fleet } from '../support/fleet.js';
import { HolderProcess } from '../support/holder-process.js';
import { type Bench, measured, row } from './bench.js';

const ROUNDS = 20;
const LEASE_MS = 1_000;
/** How long the holder has had its lease, and the waiter has waited, when the holder is killed. */
const HELD_MS = 200;

/** From `kill -9` of the holder to the lease of a waiter on another replica. */
export const takeover: Bench = {
  name: 'takeover',
  async run() {
    const fleet = await Fleet.start({ replicas: 2, env: { DIBS_LEASE_MS: `${LEASE_MS}` } });
    const [one, other] = fleet.replicas.map(({ target }) => target) as [string, string];
    const waiter = new Caller(other);
    try {
      const took = { session: [] as number[], unary: [] as number[] };
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const how of ['session', 'unary'] as const) {
          const key = `${how} ${round}`;
          const holder = await HolderProcess.run('test/support/session-holder.mjs', [
            one,
            key,
            `${LEASE_MS}`,
            how,
          ]);
          const lease = waiter.lease({ key, waitMs: 10_000 });
          await sleep(HELD_MS);
          const startMs = performance.now();
          const gone = holder.kill();
          const { token } = await lease;
          took[how].push(performance.now() - startMs);
          await gone;
          await waiter.release({ key, token });
        }
      }
      const session = measured('holder killed, its lease on a session', took.session);
      const unary = measured(`holder killed, its lease of ${LEASE_MS} ms by a unary call`, took.unary);
      return [
        row(session, unary, { by: 'p99' }),
        { kind: 'bound', name: 'takeover from a session, p99', value: session.p99Ms, unit: 'ms', max: 50 },
      ];
    } finally {
      waiter.close();
      await fleet.stop();
    }
  },
};
