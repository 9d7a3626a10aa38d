import { X509Certificate } from 'node:crypto';
import type { EnvironmentReader } from './environment-reader.js';

/** The lock nodes and the value store. */
export interface FleetConfig {
  readonly lockNodeUrls: readonly string[];
  readonly storeUrl: string;
  /** PEM: the authorities for `rediss://` servers. Absent: those that Node trusts. */
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
    reader.faults.push(
      'DIBS_QUORUM_NODES: is set while DIBS_STORE_URL is not; set both, or neither for the embedded mode',
    );
  }
  if (storeUrl !== undefined && nodes === undefined) {
    reader.faults.push(
      'DIBS_STORE_URL: is set while DIBS_QUORUM_NODES is not; set both, or neither for the embedded mode',
    );
  }
  const lockNodeUrls = nodes === undefined ? [] : lockNodesOf(reader, nodes);
  if (storeUrl !== undefined) checkStoreUrl(reader, storeUrl);
  const isTls = [...lockNodeUrls, storeUrl].some((url) => url?.startsWith('rediss://') === true);
  const redisCa = redisCaOf(reader, read, isTls);
  if (nodes === undefined || storeUrl === undefined) return undefined;
  return Object.freeze({ lockNodeUrls, storeUrl, ...(redisCa === undefined ? {} : { redisCa }) });
}

const HOST_PORT = String.raw`(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::\d{1,5})?`;
const LOCK_NODE = new RegExp(`^rediss?://(?:[^@/]*@)?(${HOST_PORT})(?:/\\d*)?$`);
const STORE = new RegExp(
  `^(?:rediss?://(?:[^@/]*@)?${HOST_PORT}(?:/\\d*)?` +
    `|redis\\+cluster://(?:[^@/]*@)?${HOST_PORT}(?:,${HOST_PORT})*/?` +
    `|redis\\+sentinel://(?:[^@/]*@)?${HOST_PORT}(?:,${HOST_PORT})*/[^/]+)$`,
);

/** Faults never repeat a URL, because it may contain a password. */
function lockNodesOf(reader: EnvironmentReader, list: string): readonly string[] {
  const urls = list.split(',').map((url) => url.trim());
  if (![3, 5, 7].includes(urls.length)) {
    reader.faults.push(`DIBS_QUORUM_NODES: lists ${urls.length} node(s); set 3, 5 or 7`);
  }
  const seen = new Map<string, number>();
  for (const [at, url] of urls.entries()) {
    const host = portInBounds(LOCK_NODE.exec(url)?.[1]);
    if (host === undefined) {
      reader.faults.push(
        `DIBS_QUORUM_NODES: node ${at + 1} is not redis://HOST:PORT or rediss://HOST:PORT, with USER:PASSWORD@ if needed`,
      );
      continue;
    }
    // Two databases of one Redis fail together, so they count as the same node.
    const first = seen.get(host);
    if (first !== undefined) {
      reader.faults.push(
        `DIBS_QUORUM_NODES: nodes ${first} and ${at + 1} are both ${host}; each must be a separate Redis`,
      );
    }
    seen.set(host, first ?? at + 1);
  }
  return Object.freeze(urls);
}

function checkStoreUrl(reader: EnvironmentReader, url: string): void {
  const hosts = url.match(new RegExp(`(?<=[/@,])${HOST_PORT}(?=[,/]|$)`, 'g')) ?? [];
  if (STORE.test(url) && hosts.every((host) => portInBounds(host) !== undefined)) return;
  reader.faults.push(
    'DIBS_STORE_URL: is not redis://HOST:PORT, rediss://HOST:PORT, redis+cluster://HOST:PORT,HOST:PORT or redis+sentinel://HOST:PORT,HOST:PORT/NAME, with USER:PASSWORD@ if needed',
  );
}

/** The host with an explicit port; undefined if the port is outside 1 to 65535. */
function portInBounds(host: string | undefined): string | undefined {
  if (host === undefined) return undefined;
  const port = /:(\d+)$/.exec(host)?.[1];
  if (port === undefined) return `${host.toLowerCase()}:6379`;
  return Number(port) >= 1 && Number(port) <= 65_535 ? host.toLowerCase() : undefined;
}

/** The variable implies TLS. Refusing to start is better than connecting without it. */
function redisCaOf(reader: EnvironmentReader, read: (path: string) => string, isTls: boolean) {
  const path = reader.get('DIBS_REDIS_CA');
  if (path === undefined) return undefined;
  if (!isTls) reader.faults.push('DIBS_REDIS_CA: is set while no Redis URL is rediss://');
  const text = reader.fileAt('DIBS_REDIS_CA', path, read);
  try {
    if (text !== undefined) new X509Certificate(text);
  } catch (error) {
    reader.faults.push(`DIBS_REDIS_CA: '${path}' is not a PEM certificate: ${(error as Error).message}`);
  }
  return text;
}
