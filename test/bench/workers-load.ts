import { DibsClient } from '../../clients/typescript/src/client.js';
import { carryOutOrders } from './client-process.js';

// One client process of the bench `workers`, which starts it. Its arguments are the targets of the ways, each a list.

export type Work = 'hits' | 'cold';

export interface Order {
  readonly way: number;
  readonly work: Work;
  readonly inFlight: number;
  readonly ms: number;
  /** The prefix of cold cycles' keys, so that no key is used twice. */
  readonly prefix: string;
}

export interface Done {
  readonly done: number;
  readonly cpuUs: number;
}

export const KEYS = 1_000;
export const keyOf = (at: number) => `hit ${at % KEYS}`;
export const VALUE = Buffer.alloc(100, 'v');
const ttlMs = 3_600_000;

const clients = process.argv.slice(2).map((target) => new DibsClient({ target }));

async function once(client: DibsClient, { work, prefix }: Order, at: number): Promise<void> {
  const key = work === 'hits' ? keyOf(at) : `${prefix} ${at}`;
  const outcome = await client.getOrLock({ key });
  if (outcome.kind === 'hit' && work === 'hits') return;
  if (outcome.kind !== 'lease')
    throw new Error(`expected a ${work === 'hits' ? 'hit' : 'lease'}, got ${outcome.kind}`);
  await client.publish({ key, token: outcome.token, value: VALUE, ttlMs });
}

async function run(order: Order): Promise<Done> {
  const client = clients[order.way] as DibsClient;
  const before = process.cpuUsage();
  const untilMs = performance.now() + order.ms;
  let [at, done, failed] = [0, 0, 0];
  const one = async () => {
    while (performance.now() < untilMs) {
      at += 1;
      try {
        await once(client, order, at);
        done += 1;
      } catch (error) {
        // On an overloaded machine, some calls pass their deadline.
        failed += 1;
        if (failed > 1 + at / 100) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: order.inFlight }, one));
  const { user, system } = process.cpuUsage(before);
  return { done, cpuUs: user + system };
}

carryOutOrders(run);
