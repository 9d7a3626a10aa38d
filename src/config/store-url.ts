/** The address of one Redis. */
export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

export interface Credentials {
  readonly username?: string;
  readonly password?: string;
}

/** A single Redis. */
export type SingleAddress = Credentials &
  RedisHost & { readonly kind: 'single'; readonly tls: boolean; readonly db: number };

export type ClusterAddress = Credentials & {
  readonly kind: 'cluster';
  /** Applies to every node. */
  readonly tls: boolean;
  readonly nodes: readonly RedisHost[];
};

export type SentinelAddress = Credentials & {
  readonly kind: 'sentinel';
  /** Applies to the sentinels and to the servers that they name. */
  readonly tls: boolean;
  readonly sentinels: readonly RedisHost[];
  readonly name: string;
  /** The credentials of the sentinels themselves, which no URL contains. */
  readonly ofSentinels?: Credentials;
};

/** A parsed store URL. The credentials are those of the data nodes. */
export type StoreAddress = SingleAddress | ClusterAddress | SentinelAddress;

const FORMS =
  'redis://HOST:PORT/DB, redis+cluster://HOST:PORT,HOST:PORT or redis+sentinel://HOST:PORT,HOST:PORT/NAME, or the same with rediss for TLS, each with USER:PASSWORD@ before the hosts where needed';

const REDIS_PORT = 6379;
const SENTINEL_PORT = 26379;

/**
 * Parses the URL of a store or of a lock node. Throws an Error that describes the fault and never repeats the URL, which
 * may contain a password.
 */
export function parseStoreUrl(url: string): StoreAddress {
  const match = /^(rediss?)(?:\+(cluster|sentinel))?:\/\/(?:([^@/]*)@)?([^@/]+)(?:\/([^/]*))?$/.exec(url);
  const [, secured, kind, user, hosts, path = ''] = match ?? [];
  if (secured === undefined || hosts === undefined) throw new Error(`the URL must be one of ${FORMS}`);
  const scheme = kind === undefined ? secured : `${secured}+${kind}`;
  const tls = secured === 'rediss';
  const credentials = credentialsOf(user);
  if (kind === 'cluster') {
    if (path !== '') throw new Error(`a ${scheme} URL has no path: a cluster has only database 0`);
    return { kind, tls, nodes: hostsOf(hosts, REDIS_PORT), ...credentials };
  }
  if (kind === 'sentinel') {
    if (path === '') throw new Error(`a ${scheme} URL ends with the name of the master, as in /mymaster`);
    const name = decoded(path, 'name of the master');
    return { kind, tls, sentinels: hostsOf(hosts, SENTINEL_PORT), name, ...credentials };
  }
  if (!/^\d*$/.test(path)) throw new Error(`the path of a ${scheme} URL is the number of a database`);
  const [host, ...more] = hostsOf(hosts, REDIS_PORT);
  if (host === undefined || more.length > 0) throw new Error(`a ${scheme} URL names one host`);
  return { kind: 'single', tls, db: Number(path), ...host, ...credentials };
}

function credentialsOf(user: string | undefined): Credentials {
  if (user === undefined || user === '') return {};
  const colon = user.indexOf(':');
  if (colon < 0) {
    throw new Error('the part before @ has no colon; write USER:PASSWORD@, or :PASSWORD@ without a user');
  }
  const username = decoded(user.slice(0, colon), 'user');
  const password = decoded(user.slice(colon + 1), 'password');
  return username === '' ? { password } : { username, password };
}

function decoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new Error(
      `the ${what} has a % without two hexadecimal digits; percent-encode it: % is %25, @ is %40, / is %2F`,
    );
  }
}

/** Faults tell the position and not the text: in a broken URL it may be a part of the password. */
function hostsOf(list: string, defaultPort: number): RedisHost[] {
  return list.split(',').map((entry, at) => {
    const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::(\d{1,5}))?$/.exec(entry);
    const port = match?.[2] === undefined ? defaultPort : Number(match[2]);
    if (match?.[1] === undefined || port < 1 || port > 65535) {
      throw new Error(
        `host ${at + 1} is not HOST or HOST:PORT, with a port of 1 to 65535; percent-encode / and @ in a password`,
      );
    }
    return { host: match[1].replace(/^\[|\]$/g, ''), port };
  });
}
