import { bytes, type Dibs, DibsClient, json, type RebuildContext } from '../src/dibs.js';
import { MemoryDibs } from '../src/testing.js';

// Compiled, not run: each way to write a call that users know from other caches, with its type.

interface User {
  readonly name: string;
}

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const typed = <_Proof extends true>(): void => {};

const ttlMs = 60_000;
const codec = json<User>();
const users = new Map<string, User>();

export async function calls(dibs: Dibs): Promise<void> {
  const plain = await dibs.getOrRebuild('k', async () => ({ id: 1 }), { ttlMs });
  typed<Same<typeof plain, { id: number } | null>>();

  // The most common call: a callback with an argument.
  const commonest = await dibs.getOrRebuild('k', async ({ signal }) => load(signal), { ttlMs });
  typed<Same<typeof commonest, User | null>>();

  const found = await dibs.getOrRebuild('k', () => users.get('k'), { ttlMs });
  typed<Same<typeof found, User | null>>();

  const given = await dibs.getOrRebuild('k', new Uint8Array().slice as () => Uint8Array, {
    ttlMs,
    codec: bytes(),
  });
  typed<Same<typeof given, Buffer | null>>();

  // Without a codec, the type of the previous value is unknown.
  await dibs.getOrRebuild(
    'k',
    ({ previous }) => {
      typed<Same<typeof previous, unknown>>();
      return 1;
    },
    { ttlMs },
  );

  const decoded = await dibs.getOrRebuild('k', async () => ({ name: 'Ada' }), { ttlMs, codec });
  typed<Same<typeof decoded, User | null>>();

  const withCodec = await dibs.getOrRebuild('k', async ({ signal }) => load(signal), { ttlMs, codec });
  typed<Same<typeof withCodec, User | null>>();

  const named = await dibs.getOrRebuild('k', (context) => load(context.signal), {
    ttlMs,
    codec: json<User>(),
  });
  typed<Same<typeof named, User | null>>();

  // The previous value has the type of the codec.
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

  // @ts-expect-error: this codec takes bytes.
  await dibs.getOrRebuild('k', async () => ({ name: 'Ada' }), { ttlMs, codec: bytes() });
  // @ts-expect-error: the codec is for another type.
  await dibs.getOrRebuild('k', async () => ({ id: 42 }), { ttlMs, codec });
  // @ts-expect-error: ttlMs is required.
  await dibs.getOrRebuild('k', async () => Buffer.from('v'), {});
}

export async function furtherCalls(dibs: Dibs): Promise<void> {
  const read = await dibs.get<User>('k');
  typed<Same<typeof read, User | null | undefined>>();
  const unknown = await dibs.get('k');
  typed<Same<typeof unknown, unknown>>();
  const decoded = await dibs.get('k', { codec });
  typed<Same<typeof decoded, User | null | undefined>>();
  const asBytes = await dibs.get('k', { codec: bytes() });
  typed<Same<typeof asBytes, Buffer | null | undefined>>();

  const { stored } = await dibs.set('k', { name: 'Ada' }, { ttlMs });
  typed<Same<typeof stored, boolean>>();
  await dibs.set('k', new Uint8Array(), { ttlMs, codec: bytes() });
  await dibs.set('k', null, { ttlMs });
  // @ts-expect-error: the codec is for another type.
  await dibs.set('k', { id: 42 }, { ttlMs, codec });

  const many = await dibs.getOrRebuildMany(['a', 'b'], (keys) => new Map(keys.map((key) => [key, { key }])), {
    ttlMs,
  });
  typed<Same<typeof many, Map<string, { key: string } | null>>>();
  const byObject = await dibs.getOrRebuildMany(
    ['a'],
    async (_keys, { signal }) => ({ a: await load(signal) }),
    {
      ttlMs,
    },
  );
  typed<Same<typeof byObject, Map<string, User | null>>>();
  const withCodec = await dibs.getOrRebuildMany(
    new Set(['a']),
    (_keys, { previous }) => {
      typed<Same<typeof previous, ReadonlyMap<string, User | null>>>();
      return users;
    },
    { ttlMs, codec },
  );
  typed<Same<typeof withCodec, Map<string, User | null>>>();
}

async function load(_signal: AbortSignal): Promise<User> {
  return { name: 'Ada' };
}

export const rebuildOfItsOwn = ({ previous }: RebuildContext<User>): User => previous ?? { name: 'Ada' };
export const both: readonly Dibs[] = [new DibsClient(), new MemoryDibs()];
