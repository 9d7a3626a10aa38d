import { availableParallelism, loadavg } from 'node:os';
import { childrenOf } from '../support/children-of.js';
import { cpuMsOf } from '../support/cpu-of.js';
import { Fleet } from '../support/fleet.js';
import type { Replica } from '../support/replica.js';
import { type AnyRow, AS_SHIPPED, type Bench, type Rate } from './bench.js';
import { ClientProcess } from './client-process.js';
import { medianOf } from './rate.js';
import type { Done, Order, Work } from './workers-load.js';

/** As many as workers could use here, with the callers and all Redis on the same cores. */
const PROCESSES = 2;
/** Each is a process with one session for each address, so workers have two sessions of each. */
const CLIENTS = 4;
const IN_FLIGHT: Readonly<Record<Work, number>> = { hits: 256, cold: 64 };
/** Two launches of the same program differ by more than its rounds. */
const LAUNCHES = 2;
const ROUNDS = 3;
const ROUND_MS = 1_500;
const WARM_UP_MS = 700;

type LoadProcess = ClientProcess<Order, Done>;

interface Way {
  readonly name: string;
  readonly target: string;
  readonly pids: readonly number[];
}

/** One replica, two replicas at two addresses, and two workers behind one address: hits and cold cycles. */
export const workers: Bench = {
  name: 'workers',
  async run(): Promise<AnyRow[]> {
    const rates = new Map<string, Rate[]>();
    for (let launch = 0; launch < LAUNCHES; launch += 1) {
      for (const [name, some] of await launched(launch))
        rates.set(name, [...(rates.get(name) ?? []), ...some]);
    }
    const load = loadavg()[0]?.toFixed(1);
    return (['hits', 'cold'] as const).flatMap((work) => {
      const about = `${work}, ${IN_FLIGHT[work]} in flight, ${CLIENTS} client processes`;
      const title = `${about}, ${availableParallelism()} cores with a load of ${load}`;
      const of = (way: string) => medianOf(way, rates.get(`${work} ${way}`) ?? []);
      const byWorkers = of(WORKERS);
      return [
        { kind: 'rates', title, measured: byWorkers, alternative: of(REPLICAS) },
        { kind: 'rates', title, measured: byWorkers, alternative: of(ONE) },
      ] satisfies AnyRow[];
    });
  },
};

const ONE = 'one replica';
const REPLICAS = `${PROCESSES} replicas`;
const WORKERS = `one address, DIBS_WORKERS=${PROCESSES}`;

async function launched(launch: number): Promise<Map<string, Rate[]>> {
  const fleet = await Fleet.start({ replicas: 1 + PROCESSES, env: AS_SHIPPED });
  const clients: LoadProcess[] = [];
  try {
    const main = await fleet.addReplica({ DIBS_WORKERS: String(PROCESSES) });
    const [one, ...others] = fleet.replicas as [Replica, ...Replica[]];
    const replicas = others.slice(0, PROCESSES);
    const ways: Way[] = [
      { name: ONE, target: one.target, pids: [one.pid] },
      {
        name: REPLICAS,
        target: `ipv4:${replicas.map(({ target }) => target)}`,
        pids: replicas.map(({ pid }) => pid),
      },
      { name: WORKERS, target: main.target, pids: [main.pid, ...childrenOf(main.pid)] },
    ];
    const targets = ways.map(({ target }) => target);
    for (let at = 0; at < CLIENTS; at += 1) clients.push(ClientProcess.start('./workers-load.js', targets));
    return await inTurns(ways, clients, launch);
  } finally {
    for (const client of clients) client.stop();
    await fleet.stop();
  }
}

/** Runs the ways in turns, so that other load on the machine affects all of them. */
async function inTurns(ways: readonly Way[], clients: readonly LoadProcess[], launch: number) {
  const rates = new Map<string, Rate[]>();
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const work of ['hits', 'cold'] as const) {
      for (const [at, way] of ways.entries()) {
        const ms = round === 0 ? WARM_UP_MS : ROUND_MS;
        const prefix = `${launch} ${round} ${at}`;
        const rate = await measure(
          way,
          { way: at, work, ms, prefix, inFlight: IN_FLIGHT[work] / CLIENTS },
          clients,
        );
        const name = `${work} ${way.name}`;
        if (round > 0) rates.set(name, [...(rates.get(name) ?? []), rate]);
      }
    }
  }
  return rates;
}

async function measure({ name, pids }: Way, order: Order, clients: readonly LoadProcess[]): Promise<Rate> {
  const serverMs = () => pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0);
  const before = serverMs();
  const sinceMs = performance.now();
  const all = await Promise.all(
    clients.map((client, at) => client.carryOut({ ...order, prefix: `${order.prefix} ${at}` })),
  );
  const tookMs = performance.now() - sinceMs;
  const done = all.reduce((sum, one) => sum + one.done, 0);
  const cpuUs = all.reduce((sum, one) => sum + one.cpuUs, 0);
  return {
    name,
    perSecond: (1_000 * done) / tookMs,
    clientUs: cpuUs / done,
    serverUs: (1_000 * (serverMs() - before)) / done,
  };
}
