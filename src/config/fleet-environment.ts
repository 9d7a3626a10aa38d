import type { EnvironmentReader } from './environment-reader.js';
import { type Credentials, parseStoreUrl, type SingleAddress, type StoreAddress } from './store-url.js';
import { checkAuthorities } from './tls-files.js';

/** The lock nodes and the value store. */
export interface FleetConfig {
  /** Each group decides about its share of the keys. */
  readonly lockGroups: readonly (readonly SingleAddress[])[];
  readonly store: StoreAddress;
  /** PEM: the authorities for servers with TLS. Absent: those that Node trusts. */
  readonly redisCa?: string;
}

const NODES = 'DIBS_QUORUM_NODES';

/** Undefined in embedded mode, and if there are faults, which it adds to the reader. */
export function readFleet(
  reader: EnvironmentReader,
  read: (path: string) => string,
): FleetConfig | undefined {
  const nodes = reader.get(NODES);
  const storeUrl = reader.get('DIBS_STORE_URL');
  if (nodes !== undefined && storeUrl === undefined) {
    reader.faults.add(
      NODES,
      'is set while DIBS_STORE_URL is not; set both, or neither for the embedded mode',
    );
  }
  if (storeUrl !== undefined && nodes === undefined) {
    reader.faults.add(
      'DIBS_STORE_URL',
      'is set while DIBS_QUORUM_NODES is not; set both, or neither for the embedded mode',
    );
  }
  const lockGroups = nodes === undefined ? [] : lockGroupsOf(reader, nodes);
  const store = withSentinelUser(reader, storeUrl === undefined ? undefined : storeOf(reader, storeUrl));
  const isTls = [...lockGroups.flat(), store].some((it) => it?.tls);
  const redisCa = redisCaOf(reader, read, isTls);
  if (store === undefined || lockGroups.length === 0) return undefined;
  return Object.freeze({ lockGroups, store, redisCa });
}

/** A replica has a connection to each lock node. This many groups decide about a million leases a second. */
const GROUPS_MAX = 16;

/** The place of a node in the setting, for a fault. */
interface Place {
  readonly node: number;
  /** 0 if there is only one group. */
  readonly group: number;
}

/** Groups are separated by `;`, their nodes by commas. Faults never repeat a URL, because it may contain a password. */
function lockGroupsOf(reader: EnvironmentReader, text: string): readonly (readonly SingleAddress[])[] {
  const lists = text.split(';');
  if (lists.length > GROUPS_MAX) {
    reader.faults.add(NODES, `lists ${lists.length} groups of nodes; set at most ${GROUPS_MAX}`);
  }
  const seen = new Map<string, Place>();
  const groups = lists.map((list, at) => lockNodesOf(reader, list, lists.length === 1 ? 0 : at + 1, seen));
  return Object.freeze(groups);
}

/** `seen`: the place of each address in the groups before, which gets those of this group. */
function lockNodesOf(
  reader: EnvironmentReader,
  list: string,
  group: number,
  seen: Map<string, Place>,
): readonly SingleAddress[] {
  const inGroup = group === 0 ? '' : `group ${group} `;
  if (list.trim() === '') {
    reader.faults.add(NODES, `${inGroup}has no nodes; set 3, 5 or 7, or remove its ';'`);
    return [];
  }
  const urls = list.split(',').map((url) => url.trim());
  if (![3, 5, 7].includes(urls.length)) {
    reader.faults.add(NODES, `${inGroup}lists ${urls.length} node(s); set 3, 5 or 7`);
  }
  const addresses: SingleAddress[] = [];
  for (const [at, url] of urls.entries()) {
    const place = { node: at + 1, group };
    const what = `${named(place)} is not redis://HOST:PORT or rediss://HOST:PORT, with USER:PASSWORD@ if needed`;
    const address = reader.faults.attempt(NODES, what, () => parseStoreUrl(url));
    if (address === undefined) continue;
    if (address.kind !== 'single') {
      reader.faults.add(NODES, what);
      continue;
    }
    addresses.push(address);
    checkSeparate(reader, address, place, seen);
  }
  return Object.freeze(addresses);
}

/** Two databases of one Redis fail together, so they count as the same node. */
function checkSeparate(
  reader: EnvironmentReader,
  { host, port }: SingleAddress,
  place: Place,
  seen: Map<string, Place>,
): void {
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`.toLowerCase();
  const first = seen.get(address);
  if (first === undefined) {
    seen.set(address, place);
    return;
  }
  const both =
    place.group === 0 ? `nodes ${first.node} and ${place.node}` : `${named(first)} and ${named(place)}`;
  reader.faults.add(NODES, `${both} are both ${address}; each must be a separate Redis`);
}

function named({ node, group }: Place): string {
  return group === 0 ? `node ${node}` : `node ${node} of group ${group}`;
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
  if (text !== undefined) checkAuthorities('DIBS_REDIS_CA', path, text, reader.faults);
  return text;
}
