import { readFileSync } from 'node:fs';
import { defaultPolicy, type Limits, type Policy } from './coordination/policy.js';
import { type OtelConfig, readOtelEnvironment } from './otel-environment.js';
import { readPolicyFile } from './policy-file.js';

export type LogLevel = (typeof LOG_LEVELS)[number];
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** What one process runs with. Nothing in it changes after the start. */
export interface Config {
  /** `HOST:PORT` or `unix:///path` each. */
  readonly grpcListen: readonly string[];
  readonly httpListen: { readonly host: string; readonly port: number };
  /** Absent: everything in this process's memory. */
  readonly fleet?: { readonly lockNodeUrls: readonly string[]; readonly storeUrl: string };
  readonly nodeTimeoutMs: number;
  readonly limits: Limits;
  readonly nearCacheBytes: number;
  readonly sessionGraceMs: number;
  readonly connectionAgeMs: number;
  /** Only the namespaces that the file names. */
  readonly policies: ReadonlyMap<string, Policy>;
  /** Of a namespace that the file does not name. */
  readonly policy: Policy;
  readonly logLevel: LogLevel;
  readonly otel: OtelConfig;
}

/** Everything that is wrong, at once: nobody should have to start a process ten times to see ten faults. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly faults: readonly string[]) {
    super(
      `the configuration has ${faults.length} fault(s):\n${faults.map((fault) => `  ${fault}`).join('\n')}`,
    );
  }
}

export type Environment = Readonly<Record<string, string | undefined>>;

const HOUR_MS = 3_600_000;
const MIB = 1_048_576;

/**
 * Reads the whole configuration from `env`, and from the file that DIBS_CONFIG names. Pure but for that
 * file. Throws {@link ConfigError}. A variable that is set to nothing counts as not set.
 */
export function loadConfig(
  env: Environment,
  readFile: (path: string) => string = (path) => readFileSync(path, 'utf8'),
): Config {
  const reader = new EnvironmentReader(env);
  const limits = limitsOf(reader);
  const nodeTimeoutMs = nodeTimeoutOf(reader, limits);
  const grpcListen = grpcListenOf(reader);
  const httpListen = httpListenOf(reader);
  const fleet = fleetOf(reader);
  const nearCacheBytes = reader.whole('DIBS_NEAR_CACHE_BYTES', 64 * MIB, 0, 2 ** 40);
  const sessionGraceMs = reader.whole('DIBS_SESSION_GRACE_MS', 0, 0, HOUR_MS);
  // Long beside a handshake, and short enough that replicas which are new get their share within minutes.
  const connectionAgeMs = reader.whole('DIBS_CONNECTION_AGE_MS', 600_000, 1_000, 24 * HOUR_MS);
  const logLevel = reader.choice('DIBS_LOG_LEVEL', 'info', LOG_LEVELS);
  const otel = readOtelEnvironment(
    (name) => reader.get(name),
    (fault) => reader.faults.push(fault),
  );
  refuseWhatIsNotServedYet(reader);
  const policy = Object.freeze(defaultPolicy(limits));
  const policies = policiesOf(reader, policy, readFile);
  if (reader.faults.length > 0) throw new ConfigError(reader.faults);
  return Object.freeze({
    grpcListen,
    httpListen,
    ...(fleet === undefined ? {} : { fleet }),
    nodeTimeoutMs,
    limits,
    nearCacheBytes,
    sessionGraceMs,
    connectionAgeMs,
    policies,
    policy,
    logLevel,
    otel,
  });
}

/** Reads variables one by one and gathers what is wrong with them; what it returns then is never used. */
class EnvironmentReader {
  readonly faults: string[] = [];

  constructor(private readonly env: Environment) {}

  get(name: string): string | undefined {
    const value = this.env[name]?.trim();
    return value === '' ? undefined : value;
  }

  /** A default yields to the bounds that others set; what was set itself does not. */
  whole(name: string, fallback: number, min: number, max: number): number {
    const text = this.get(name);
    if (text === undefined) return Math.min(max, Math.max(min, fallback));
    const value = Number(text);
    if (/^\d{1,15}$/.test(text) && value >= min && value <= max) return value;
    this.faults.push(`${name}: '${text}' is not a whole number within ${min} to ${max}`);
    return Math.min(max, Math.max(min, fallback));
  }

  choice<const Choices extends readonly string[]>(
    name: string,
    fallback: Choices[number],
    choices: Choices,
  ): Choices[number] {
    const text = this.get(name) ?? fallback;
    if (choices.includes(text)) return text;
    this.faults.push(`${name}: '${text}' is not one of ${choices.join(', ')}`);
    return fallback;
  }
}

function limitsOf(reader: EnvironmentReader): Limits {
  // 10 s outlasts nearly every rebuild, and a holder that died is replaced within it.
  const leaseMsMax = reader.whole('DIBS_LEASE_MAX_MS', 60_000, 10, HOUR_MS);
  // Below a tenth of a second the drift and the way to the lock nodes eat up too much of a lease.
  const leaseMsMin = reader.whole('DIBS_LEASE_MIN_MS', 100, 10, leaseMsMax);
  const leaseMs = reader.whole('DIBS_LEASE_MS', 10_000, leaseMsMin, leaseMsMax);
  // A waiter costs some 2 KiB: 200,000 of them are 400 MiB, and one key may have a tenth.
  const waitersMax = reader.whole('DIBS_WAITERS', 200_000, 1, 10_000_000);
  const waitersPerKeyMax = reader.whole('DIBS_WAITERS_PER_KEY', 20_000, 1, waitersMax);
  return Object.freeze({
    leaseMs,
    leaseMsMin,
    leaseMsMax,
    // Half a minute is as long as load balancers leave a silent call alone.
    waitMsMax: reader.whole('DIBS_WAIT_MAX_MS', 30_000, 0, HOUR_MS),
    // Redis is at its best below a mebibyte, and holds at most 512 of them in one value.
    valueBytesMax: reader.whole('DIBS_VALUE_MAX_BYTES', MIB, 1, 256 * MIB),
    waitersPerKeyMax,
    waitersMax,
  });
}

/**
 * A node that hangs costs an attempt one time-out. At most the shortest lease, or no lease of that length
 * could ever be had while one hangs; and at most a fifth of the usual one, so that four fifths are left.
 */
function nodeTimeoutOf(reader: EnvironmentReader, { leaseMs, leaseMsMin }: Limits): number {
  const max = Math.min(10_000, leaseMsMin, Math.floor(leaseMs / 5));
  // A lock node on the same network answers in a millisecond; 100 ms is a node in trouble.
  return reader.whole('DIBS_NODE_TIMEOUT_MS', 100, 1, Math.max(1, max));
}

function grpcListenOf(reader: EnvironmentReader): readonly string[] {
  const entries = (reader.get('DIBS_LISTEN') ?? '127.0.0.1:50051').split(',').map((entry) => entry.trim());
  const insecure = reader.choice('DIBS_INSECURE', 'false', ['true', 'false']) === 'true';
  for (const entry of entries) {
    if (/^unix:\/\/\/[^,\0]+$/.test(entry)) continue;
    const address = addressOf(entry);
    if (address === undefined) {
      reader.faults.push(
        `DIBS_LISTEN: '${entry}' is neither HOST:PORT with a port of 0 to 65535 nor unix:///path`,
      );
    } else if (!insecure && !isLoopback(address.host)) {
      reader.faults.push(
        `DIBS_LISTEN: '${entry}' is reachable from other machines without encryption; listen on a loopback address or a unix socket, or set DIBS_INSECURE=true where the network itself is protected`,
      );
    }
  }
  const twice = entries.filter((entry, at) => entries.indexOf(entry) !== at && !entry.endsWith(':0'));
  for (const entry of twice) reader.faults.push(`DIBS_LISTEN: '${entry}' is named twice`);
  return Object.freeze(entries);
}

/** Its pages carry no values, no keys and no tokens, so that it may listen anywhere. */
function httpListenOf(reader: EnvironmentReader): Config['httpListen'] {
  const entry = reader.get('DIBS_HTTP_LISTEN') ?? '127.0.0.1:9464';
  const address = addressOf(entry);
  if (address !== undefined) return Object.freeze(address);
  reader.faults.push(`DIBS_HTTP_LISTEN: '${entry}' is not HOST:PORT with a port of 0 to 65535`);
  return { host: '', port: 0 };
}

function addressOf(entry: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+)):(\d{1,5})$/.exec(entry);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && port <= 65_535 ? { host, port } : undefined;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function fleetOf(reader: EnvironmentReader): Config['fleet'] {
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
  if (nodes === undefined || storeUrl === undefined) return undefined;
  return Object.freeze({ lockNodeUrls, storeUrl });
}

const HOST_PORT = String.raw`(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::\d{1,5})?`;
const LOCK_NODE = new RegExp(`^rediss?://(?:[^@/]*@)?(${HOST_PORT})(?:/\\d*)?$`);
const STORE = new RegExp(
  `^(?:rediss?://(?:[^@/]*@)?${HOST_PORT}(?:/\\d*)?` +
    `|redis\\+cluster://(?:[^@/]*@)?${HOST_PORT}(?:,${HOST_PORT})*/?` +
    `|redis\\+sentinel://(?:[^@/]*@)?${HOST_PORT}(?:,${HOST_PORT})*/[^/]+)$`,
);

/** The URLs themselves are never repeated: they may carry passwords. */
function lockNodesOf(reader: EnvironmentReader, list: string): readonly string[] {
  const urls = list.split(',').map((url) => url.trim());
  if (![3, 5, 7].includes(urls.length)) {
    reader.faults.push(`DIBS_QUORUM_NODES: names ${urls.length} node(s); 3, 5 or 7 are needed`);
  }
  const seen = new Map<string, number>();
  for (const [at, url] of urls.entries()) {
    const host = portInBounds(LOCK_NODE.exec(url)?.[1]);
    if (host === undefined) {
      reader.faults.push(
        `DIBS_QUORUM_NODES: node ${at + 1} is not redis://HOST:PORT or rediss://HOST:PORT, with USER:PASSWORD@ where needed`,
      );
      continue;
    }
    // Two databases of one Redis fail together, so that the number does not make them different.
    const first = seen.get(host);
    if (first !== undefined) {
      reader.faults.push(
        `DIBS_QUORUM_NODES: nodes ${first} and ${at + 1} are both ${host}; each must be a Redis of its own`,
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
    'DIBS_STORE_URL: is not redis://HOST:PORT, rediss://HOST:PORT, redis+cluster://HOST:PORT,HOST:PORT or redis+sentinel://HOST:PORT,HOST:PORT/NAME, with USER:PASSWORD@ where needed',
  );
}

/** The host with its port written out; undefined if that is outside 1 to 65535. */
function portInBounds(host: string | undefined): string | undefined {
  if (host === undefined) return undefined;
  const port = /:(\d+)$/.exec(host)?.[1];
  if (port === undefined) return `${host.toLowerCase()}:6379`;
  return Number(port) >= 1 && Number(port) <= 65_535 ? host.toLowerCase() : undefined;
}

/** Whoever sets one of these expects to be protected by it: not to start is better than to serve without. */
function refuseWhatIsNotServedYet(reader: EnvironmentReader): void {
  const certificate = reader.get('DIBS_TLS_CERT') !== undefined;
  if (certificate !== (reader.get('DIBS_TLS_KEY') !== undefined)) {
    const [there, missing] = certificate
      ? ['DIBS_TLS_CERT', 'DIBS_TLS_KEY']
      : ['DIBS_TLS_KEY', 'DIBS_TLS_CERT'];
    reader.faults.push(`${there}: is set while ${missing} is not; set both or neither`);
  }
  for (const name of ['DIBS_TLS_CERT', 'DIBS_TLS_KEY', 'DIBS_TLS_CA']) {
    if (reader.get(name) === undefined) continue;
    reader.faults.push(
      `${name}: this version does not serve TLS yet; unset it, and let a proxy end TLS in front of a loopback address or a unix socket`,
    );
  }
  if (reader.get('DIBS_AUTH_FILE') !== undefined) {
    reader.faults.push('DIBS_AUTH_FILE: this version does not check permissions yet; unset it');
  }
}

function policiesOf(
  reader: EnvironmentReader,
  base: Policy,
  readFile: (path: string) => string,
): ReadonlyMap<string, Policy> {
  const path = reader.get('DIBS_CONFIG');
  if (path === undefined) return new Map();
  let text: string;
  try {
    text = readFile(path);
  } catch (error) {
    reader.faults.push(`DIBS_CONFIG: '${path}' cannot be read: ${(error as Error).message}`);
    return new Map();
  }
  const { policies, faults } = readPolicyFile(text, base);
  reader.faults.push(...faults.map((fault) => `DIBS_CONFIG: ${fault}`));
  return policies;
}
