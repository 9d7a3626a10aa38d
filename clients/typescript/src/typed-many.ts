import { setMaxListeners } from 'node:events';
import type { BytesClient } from './bytes-client.js';
import { type Codec, decoded, encodedBy, readable, readsBy } from './codec.js';
import { DibsManyError, UndecodableError } from './errors.js';
import type { ManyFetched } from './many-fetch.js';
import type { RebuildFacts } from './many-rebuilds.js';
import { checkedToStore, checkTexts } from './numbers.js';
import type { RebuildManyContext, RebuildOptions } from './options.js';
import type { HowStored, Made } from './rebuild.js';
import { asRebuildOf, reentrant } from './reentry.js';

/** Values by key. A key that is left out counts as one that the source does not have. */
export type ValuesByKey<T> =
  | ReadonlyMap<string, T | null | undefined>
  | Readonly<Record<string, T | null | undefined>>;

export type RebuildMany<T, Before = T> = (
  keys: string[],
  context: RebuildManyContext<Before>,
) => Promise<ValuesByKey<T>> | ValuesByKey<T>;

interface AskedMany<T, Given> {
  readonly namespace: string;
  readonly keys: Iterable<string>;
  readonly rebuild: RebuildMany<Given, T>;
  readonly codec: Codec<T, Given>;
  readonly options: RebuildOptions;
  readonly onUnavailable: 'rebuild' | 'fail';
}

/** One getOrRebuildMany. `owner` is the client whose rebuilds must not ask for their own keys. */
export async function getMany<T, Given>(
  owner: object,
  client: Pick<BytesClient, 'fetchMany' | 'undecodable'>,
  { keys: given, codec, rebuild, ...asked }: AskedMany<T, Given>,
): Promise<Map<string, T | null>> {
  const { namespace, onUnavailable } = asked;
  const options = checkedToStore(asked.options);
  const { signal } = options;
  const keys = distinct(given);
  for (const key of keys) {
    const again = reentrant(owner, namespace, key);
    if (again !== undefined) throw again;
  }
  signal?.throwIfAborted();
  const left = signal && leftBy(signal);
  const fetched = client.fetchMany({
    ...{ namespace, keys, onUnavailable },
    options: left === undefined ? options : { ...options, signal: left.signal },
    rebuild: (rebuilds, aborted) =>
      asRebuildOf(owner, namespace, [...rebuilds.keys()], () => made(codec, rebuild, rebuilds, aborted)),
  });
  const values = new Map<string, T | null>();
  const errors = new Map<string, unknown>();
  const undecodable = (key: string, error: unknown) => client.undecodable({ namespace, key, error });
  const get = async (key: string) => {
    try {
      values.set(key, await valueOfKey(codec, key, fetched, options.refresh === true, undecodable));
    } catch (error) {
      errors.set(key, error);
    }
  };
  await Promise.all(keys.map(get));
  left?.letGo();
  if (errors.size === 0) return inOrder(keys, values);
  signal?.throwIfAborted();
  throw new DibsManyError(inOrder(keys, errors), inOrder(keys, values));
}

/** A signal that each key may listen to, because Node warns of more than ten listeners on the caller's. */
function leftBy(signal: AbortSignal): { readonly signal: AbortSignal; letGo(): void } {
  const left = new AbortController();
  setMaxListeners(0, left.signal);
  const leave = () => left.abort(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  return { signal: left.signal, letGo: () => signal.removeEventListener('abort', leave) };
}

async function valueOfKey<T>(
  codec: Pick<Codec<T>, 'decode' | 'isDetached'>,
  key: string,
  { of, refetch }: ManyFetched,
  isRefresh: boolean,
  undecodable: (key: string, error: unknown) => void,
): Promise<T | null> {
  const first = await of.get(key);
  if (first === undefined) throw new Error(`${key} was not asked for`);
  try {
    return decoded(codec, first.bytes, true);
  } catch (error) {
    if (first.isOwn || isRefresh) throw new UndecodableError(key, error);
    undecodable(key, error);
  }
  const { bytes } = await refetch(key, readsBy(codec));
  try {
    return decoded(codec, bytes, true);
  } catch (still) {
    throw new UndecodableError(key, still);
  }
}

/** Calls the rebuild once. The returned function gives the bytes of each key, or throws the codec's error. */
async function made<T, Given>(
  codec: Codec<T, Given>,
  rebuild: RebuildMany<Given, T>,
  rebuilds: ReadonlyMap<string, RebuildFacts>,
  signal: AbortSignal,
): Promise<(key: string) => Made> {
  const how = new Map<string, HowStored>([...rebuilds.keys()].map((key) => [key, { store: true }]));
  const previous = new Map<string, T | null>();
  for (const [key, facts] of rebuilds) {
    const before = readable(codec, facts.previous);
    if (before !== undefined) previous.set(key, before);
  }
  const howOf = (key: string) => {
    const known = how.get(key);
    if (known !== undefined) return known;
    throw new RangeError(`"${key}" is not one of the keys of this rebuild`);
  };
  const context: RebuildManyContext<T> = {
    ...{ signal, previous },
    fences: new Map([...rebuilds].map(([key, { fence }]) => [key, fence])),
    storeWith: (key, given) => void Object.assign(howOf(key), given),
    doNotStore: (key) => {
      howOf(key).store = false;
    },
  };
  const values = byKey(await rebuild([...rebuilds.keys()], context));
  return (key) => {
    const value = values(key);
    const bytes = value === null || value === undefined ? null : encodedBy(codec, value);
    return { bytes, how: howOf(key) };
  };
}

function byKey<T>(values: ValuesByKey<T>): (key: string) => T | null | undefined {
  if (values instanceof Map) return (key) => values.get(key);
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new TypeError('the rebuild returned no values by key: return a Map or an object');
  }
  const record = values as Readonly<Record<string, T | null | undefined>>;
  return (key) => (Object.hasOwn(record, key) ? record[key] : undefined);
}

function distinct(keys: Iterable<string>): string[] {
  // A string would be taken for its characters.
  const list = typeof keys === 'string' ? keys : [...keys];
  checkTexts('keys', list as string[]);
  return [...new Set(list)];
}

function inOrder<V>(keys: readonly string[], of: ReadonlyMap<string, V>): Map<string, V> {
  return new Map(keys.filter((key) => of.has(key)).map((key) => [key, of.get(key) as V]));
}
