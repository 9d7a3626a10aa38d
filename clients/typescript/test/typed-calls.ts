import { type Dibs, DibsClient, json, type RebuildContext } from '../src/dibs.js';
import { MemoryDibs } from '../src/testing.js';

// Not run, but compiled: each way to write a call that users know from other caches, with the type it has.

interface User {
  readonly name: string;
}

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const typed = <_Proof extends true>(): void => {};

const ttlMs = 60_000;
const codec = json<User>();
const users = new Map<string, User>();

export async function calls(dibs: Dibs): Promise<void> {
  const plain = await dibs.getOrRebuild('k', async () => Buffer.from('v'), { ttlMs });
  typed<Same<typeof plain, Buffer | null>>();

  const withContext = await dibs.getOrRebuild(
    'k',
    async ({ signal }) => Buffer.from(String(signal.aborted)),
    {
      ttlMs,
    },
  );
  typed<Same<typeof withContext, Buffer | null>>();

  const decoded = await dibs.getOrRebuild('k', async () => ({ name: 'Ada' }), { ttlMs, codec });
  typed<Same<typeof decoded, User | null>>();

  // The commonest call: a callback with an argument, and a codec.
  const commonest = await dibs.getOrRebuild('k', async ({ signal }) => load(signal), { ttlMs, codec });
  typed<Same<typeof commonest, User | null>>();

  const named = await dibs.getOrRebuild('k', (context) => load(context.signal), {
    ttlMs,
    codec: json<User>(),
  });
  typed<Same<typeof named, User | null>>();

  // The value before has the type that the codec gives.
  await dibs.getOrRebuild(
    'k',
    ({ previous }) => {
      typed<Same<typeof previous, User | null | undefined>>();
      return previous ?? null;
    },
    { ttlMs, codec },
  );

  // A lookup that may find nothing.
  const looked = await dibs.getOrRebuild('k', () => users.get('k'), { ttlMs, codec });
  typed<Same<typeof looked, User | null>>();

  const perValue = await dibs.getOrRebuild(
    'k',
    async ({ signal, storeWith, doNotStore }) => {
      const user = await load(signal);
      if (user.name === '') doNotStore();
      else storeWith({ ttlMs: 1_000, staleMs: 0, tags: [user.name] });
      return user;
    },
    { ttlMs, codec },
  );
  typed<Same<typeof perValue, User | null>>();

  const inferred = await dibs.getOrRebuild('k', async () => ({ id: 1 }), { ttlMs, codec: json() });
  typed<Same<typeof inferred, { id: number } | null>>();

  // @ts-expect-error: without a codec a value is bytes.
  await dibs.getOrRebuild('k', async () => ({ name: 'Ada' }), { ttlMs });
  // @ts-expect-error: the codec is for another type.
  await dibs.getOrRebuild('k', async () => ({ id: 42 }), { ttlMs, codec });
  // @ts-expect-error: how long it is fresh must be said.
  await dibs.getOrRebuild('k', async () => Buffer.from('v'), {});
}

async function load(_signal: AbortSignal): Promise<User> {
  return { name: 'Ada' };
}

export const rebuildOfItsOwn = ({ previous }: RebuildContext<User>): User => previous ?? { name: 'Ada' };
export const both: readonly Dibs[] = [new DibsClient(), new MemoryDibs()];
