import { Fleet } from '../support/fleet.js';
import type { Replica } from '../support/replica.js';
import { type AnyRow, AS_SHIPPED, type Bench } from './bench.js';
import { ClientProcess } from './client-process.js';
import type { ColdOrder, ColdWay } from './cold-client.js';
import { rates, type Way, type Work } from './rate.js';

const IN_FLIGHT = [64, 256];
const WARM_UP_MS = 3_000;

/** Miss, lease and publish of a new key each time, compared with the same cycle by ioredis and redlock directly. */
export const cold: Bench = {
  name: 'cold',
  async run(): Promise<AnyRow[]> {
    const fleet = await Fleet.start({ replicas: 2, env: AS_SHIPPED });
    const [replica, ofUnary] = fleet.replicas as [Replica, Replica];
    const urls = [fleet.store, ...fleet.lockNodes].map(({ url }) => url);
    const clients: ClientProcess<ColdOrder, Work>[] = [];
    const way = (name: string, by: ColdWay, serverPid: number, of: readonly string[]): Way => {
      const client = ClientProcess.start<ColdOrder, Work>('./cold-client.js', [by, ...of]);
      clients.push(client);
      return { name, serverPid, run: (inFlight, ms) => client.carryOut({ inFlight, ms }) };
    };
    const ways = [
      way('Dibs, session', 'session', replica.pid, [replica.target]),
      way('Dibs, unary', 'unary', ofUnary.pid, [ofUnary.target]),
      way('ioredis and redlock', 'direct', 0, urls),
      way('ioredis and redlock, automatic pipelining', 'pipelined', 0, urls),
    ];
    try {
      const rows: AnyRow[] = [];
      for (const inFlight of IN_FLIGHT) {
        const of = await rates(ways, inFlight, WARM_UP_MS);
        const title = `cold cycles, ${inFlight} in flight`;
        const [measured, direct] = [of('Dibs, session'), of('ioredis and redlock')];
        const pipelined = of('ioredis and redlock, automatic pipelining');
        rows.push(
          { kind: 'rates', title, measured, alternative: direct, ratioMin: 1 },
          { kind: 'rates', title, measured, alternative: pipelined, ratioMin: 0.8 },
          { kind: 'rates', title, measured: of('Dibs, unary'), alternative: direct },
        );
      }
      return rows;
    } finally {
      for (const client of clients) client.stop();
      await fleet.stop();
    }
  },
};
