import { expect, it } from 'vitest';
import type { Change } from './old-values.js';
import { NoChance } from './sim-chance.js';
import { SimLink } from './sim-link.js';
import { SimProcess } from './sim-process.js';
import { SimStoreLink, SimStoreServer, type StoreWitness } from './sim-store.js';
import { VirtualTime } from './virtual-time.js';

// A replica knows of its own change once it has the store's answer. The judge must not expect it earlier, and must
// expect it even if only a repetition was answered.

const PUBLISH = {
  ...{ nonce: 'n', fence: 1, ttlMs: 100, staleMs: 0, tags: [], keepMs: 1_000 },
  payload: { kind: 'absent' },
} as const;

/** One process and a store that reports every publish as a change. */
function there() {
  const time = new VirtualTime();
  const arrived: number[] = [];
  let changes = 0;
  const witness = {
    stepped: () => ({ appliedAt: ++changes }) as Change,
    stamped: () => ({ appliedAt: ++changes }) as Change,
    answered: (_: SimProcess, { appliedAt }: Change) => void arrived.push(appliedAt),
    heard: () => {},
  } as unknown as StoreWitness;
  const link = new SimLink(time, new NoChance('r0'), 'r0-store');
  const server = new SimStoreServer(time, witness);
  return {
    time,
    arrived,
    link,
    store: new SimStoreLink(server, new SimProcess('r0', time), link, time, 300),
  };
}

it('a publish whose reply is lost does not arrive at its replica', async () => {
  const { time, arrived, link, store } = there();
  link.replyLoss = 1;
  const publishing = store.publish('k', PUBLISH).catch((error: Error) => error.message);
  await time.runUntil(1_000);
  expect(await publishing).toBe('no reply in time');
  expect(arrived).toEqual([]);
});

it('a publish that reached the store only on the second try arrives with the second answer', async () => {
  const { time, arrived, link, store } = there();
  link.requestLoss = 1;
  const first = store.publish('k', PUBLISH).catch((error: Error) => error.message);
  await time.runUntil(1_000);
  expect(await first).toBe('no reply in time');
  link.heal();
  const second = store.publish('k', PUBLISH);
  await time.runUntil(2_000);
  await second;
  expect(arrived).toEqual([1]);
});

it('an invalidation arrives with its answer, by key and by tags', async () => {
  const { time, arrived, store } = there();
  const invalidating = store.invalidate('k', { mode: 'delete', keepMs: 1_000 });
  const stamping = store.namespaces.invalidate('red', {
    tags: ['x'],
    all: false,
    mode: 'delete',
    keepMs: 1,
  } as never);
  expect(arrived).toEqual([]);
  await time.runUntil(1_000);
  await Promise.all([invalidating, stamping]);
  expect(arrived).toEqual([1, 2]);
});
