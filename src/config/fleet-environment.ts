import { X509Certificate } from 'node:crypto';
import type { EnvironmentReader } from './environment-reader.js';
import { type Credentials, parseStoreUrl, type SingleAddress, type StoreAddress } from './store-url.js';

/** The lock nodes and the value store. */
export interface FleetConfig {
  readonly lockNodes: readonly SingleAddress[];
  readonly store: StoreAddress;
  /** PEM: the authorities for servers with TLS. Absent: those that Node trusts. */
  readonly redisCa?: string;
}

/** Undefined in embedded mode, and if there are faults, which it adds to the reader. */
export function readFleet(
  reader: EnvironmentReader,
  read: (path: string) => string,
): FleetConfig | undefined {
  const nodes = reader.get('DIBS_QUORUM_NODES');
  const storeUrl = reader.get('DIBS_STORE_URL');
  if (nodes !== undefined && storeUrl === undefined) {
    reader.faults.add(
      'DIBS_QUORUM_NODES',
      'is set while DIBS_STORE_URL is not; set both, or neither for the embedded mode',
    );
  }
  if (storeUrl !== undefined && nodes === undefined) {
    reader.faults.add(
      'DIBS_STORE_URL',
      'is set while DIBS_QUORUM_NODES is not; set both, or neither for the embedded mode',
    );
  }
  const lockNodes = nodes === undefined ? [] : lockNodesOf(reader, nodes);
  const store = withSentinelUser(reader, storeUrl === undefined ? undefined : storeOf(reader, storeUrl));
  const isTls = [...lockNodes, store].some((it) => it?.tls);
  const redisCa = redisCaOf(reader, read, isTls);
  if (store === undefined || lockNodes.length === 0) return undefined;
  return Object.freeze({ lockNodes, store, redisCa });
}

/** Faults never repeat a URL, because it may contain a password. */
function lockNodesOf(reader: EnvironmentReader, list: string): readonly SingleAddress[] {
  const urls = list.split(',').map((url) => url.trim());
  if (![3, 5, 7].includes(urls.length)) {
    reader.faults.add('DIBS_QUORUM_NODES', `lists ${urls.length} node(s); set 3, 5 or 7`);
  }
  const addresses: SingleAddress[] = [];
  const seen = new Map<string, number>();
  for (const [at, url] of urls.entries()) {
    const what = `node ${at + 1} is not redis://HOST:PORT or rediss://HOST:PORT, with USER:PASSWORD@ if needed`;
    const address = reader.faults.attempt('DIBS_QUORUM_NODES', what, () => parseStoreUrl(url));
    if (address === undefined) continue;
    if (address.kind !== 'single') {
      reader.faults.add('DIBS_QUORUM_NODES', what);
      continue;
    }
    addresses.push(address);
    // Two databases of one Redis fail together, so they count as the same node.
    const { host, port } = address;
    const place = `${host.includes(':') ? `[${host}]` : host}:${port}`.toLowerCase();
    const first = seen.get(place);
    if (first !== undefined) {
      reader.faults.add(
        'DIBS_QUORUM_NODES',
        `nodes ${first} and ${at + 1} are both ${place}; each must be a separate Redis`,
      );
    }
    seen.set(place, first ?? at + 1);
  }
  return Object.freeze(addresses);
}

/** The fault never repeats the URL, because it may contain a password. */
function storeOf(reader: EnvironmentReader, url: string): StoreAddress | undefined {
  return reader.faults.attempt('DIBS_STORE_URL', 'cannot be used', () => parseStoreUrl(url));
}

/**
 * Sentinels have users of their own. They are not in the URL, because its place for a user is that of the servers, and
 * because a password in a variable of its own needs no percent-encoding.
 */
function withSentinelUser(
  reader: EnvironmentReader,
  store: StoreAddress | undefined,
): StoreAddress | undefined {
  const username = reader.get('DIBS_SENTINEL_USERNAME');
  const password = reader.get('DIBS_SENTINEL_PASSWORD');
  if (username !== undefined && password === undefined) {
    reader.faults.add('DIBS_SENTINEL_USERNAME', 'is set while DIBS_SENTINEL_PASSWORD is not; set both');
  }
  if (password === undefined || store === undefined) return store;
  if (store.kind !== 'sentinel') {
    const why = 'is set while DIBS_STORE_URL is neither redis+sentinel:// nor rediss+sentinel://';
    reader.faults.add('DIBS_SENTINEL_PASSWORD', why);
    return store;
  }
  const ofSentinels: Credentials = username === undefined ? { password } : { username, password };
  return { ...store, ofSentinels };
}

/** The variable implies TLS. Refusing to start is better than connecting without it. */
function redisCaOf(reader: EnvironmentReader, read: (path: string) => string, isTls: boolean) {
  const path = reader.get('DIBS_REDIS_CA');
  if (path === undefined) return undefined;
  if (!isTls) reader.faults.add('DIBS_REDIS_CA', 'is set while no Redis URL begins with rediss');
  const text = reader.fileAt('DIBS_REDIS_CA', path, read);
  if (text !== undefined) {
    const broken = `'${path}' is not a PEM certificate`;
    reader.faults.attempt('DIBS_REDIS_CA', broken, () => new X509Certificate(text));
  }
  return text;
}
