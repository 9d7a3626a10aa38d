import { DibsClient } from '../../clients/typescript/src/client.js';
import { carryOutOrders } from './client-process.js';
import { repeating } from './rate.js';
import { Recipe } from './recipes.js';

// One client process of the bench `cold`, which starts one for each way. Its arguments are the way, and a replica's
// address or the URLs of the store and of the lock nodes.

export type ColdWay = 'session' | 'unary' | 'direct' | 'pipelined';

export interface ColdOrder {
  readonly inFlight: number;
  readonly ms: number;
}

const VALUE = Buffer.alloc(100, 'v');
const ttlMs = 3_600_000;

type Once = (key: string) => Promise<void>;

function byDibs(target: string, session: boolean): Once {
  const client = new DibsClient({ target, session });
  return async (key) => {
    const outcome = await client.getOrLock({ key });
    if (outcome.kind !== 'lease') throw new Error(`expected a lease, got ${outcome.kind}`);
    await client.publish({ key, token: outcome.token, value: VALUE, ttlMs });
  };
}

function byRecipe([store = '', ...lockNodes]: readonly string[], pipelining: boolean): Once {
  const nodes = { store: { url: store }, lockNodes: lockNodes.map((url) => ({ url })) };
  const recipe = new Recipe(nodes, { pipelining });
  return async (key) => {
    if ((await recipe.store.getBuffer(key)) !== null) throw new Error('expected a miss');
    if ((await recipe.cycle(key, async () => VALUE)) === undefined) throw new Error('expected the lock');
  };
}

const WAYS: Readonly<Record<ColdWay, (of: readonly string[]) => Once>> = {
  session: ([target = '']) => byDibs(target, true),
  unary: ([target = '']) => byDibs(target, false),
  direct: (urls) => byRecipe(urls, false),
  pipelined: (urls) => byRecipe(urls, true),
};

const [way, ...of] = process.argv.slice(2);
const once = WAYS[way as ColdWay](of);
const run = repeating((at) => once(`${way} ${at}`));
carryOutOrders<ColdOrder>(({ inFlight, ms }) => run(inFlight, ms));
