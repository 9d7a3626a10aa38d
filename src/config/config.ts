import { WAKE_VALUE_BYTES_MAX } from '../coordination/ports/wake-channel.js';
import { defaultPolicy, type Limits, type Policy } from '../coordination/words/policy.js';
import { type EdgeConfig, readEdge } from './edge-environment.js';
import { type Environment, EnvironmentReader } from './environment-reader.js';
import { ConfigError } from './faults.js';
import { readText } from './file-text.js';
import { type FleetConfig, readFleet } from './fleet-environment.js';
import {
  type OtelConfig,
  type OtlpMismatch,
  otlpMismatches,
  readOtelEnvironment,
} from './otel-environment.js';
import { readPolicyFile } from './policy-file.js';
import { type UnknownVariable, unknownVariables } from './unknown-variables.js';

export type LogLevel = (typeof LOG_LEVELS)[number];
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/** The configuration of one process. It never changes after the start. */
export interface Config extends EdgeConfig {
  /** Absent: embedded mode, everything in this process's memory. */
  readonly fleet?: FleetConfig;
  readonly nodeTimeoutMs: number;
  readonly limits: Limits;
  readonly nearCacheBytes: number;
  /** The largest value, with its tags, that travels in the wake of its publish; 0 for none. */
  readonly wakeValueBytesMax: number;
  readonly sessionGraceMs: number;
  readonly connectionAgeMs: number;
  readonly connectionsMax: number;
  readonly unsentBytesMax: number;
  readonly compressedRequests: boolean;
  /** Only the namespaces that the file lists. */
  readonly policies: ReadonlyMap<string, Policy>;
  /** The policy of all other namespaces. */
  readonly policy: Policy;
  readonly logLevel: LogLevel;
  readonly otel: OtelConfig;
  /** Processes that answer calls. With 1 this process does, and there is no other. */
  readonly workers: number;
  /** Of a worker: which one it is, from 1. Its bounds are its share of those of the whole. */
  readonly worker?: number;
  /** Settings that are allowed but probably a mistake. */
  readonly suspicions: Suspicions;
}

export interface Suspicions {
  readonly unknownVariables: readonly UnknownVariable[];
  /** Embedded, and reachable from other machines: a second replica would give the same leases. */
  readonly embeddedBeyondLoopback: boolean;
  readonly otlpMismatches: readonly OtlpMismatch[];
  /** DIBS_AUTH_FILE names client certificates, and without DIBS_TLS_CA the service asks for none. */
  readonly certificatesWithoutAuthority: boolean;
}

const HOUR_MS = 3_600_000;
/**
 * Every other step waits while Redis copies a value, and all replies on a connection wait while one is on its way: 70 ms
 * for 8 MiB at 1 Gbit/s. Larger ones would need timeouts at which a dead store is noticed too late.
 */
const VALUE_BYTES_MAX = 8_388_608;
const MIB = 1_048_576;
/** As many cores as one machine gives one container, and more than that. */
const WORKERS_MAX = 64;

/** `embedded` without a fleet: everything is in this process's memory. */
export function modeOf({ fleet }: Pick<Config, 'fleet'>): 'embedded' | 'quorum' {
  return fleet === undefined ? 'embedded' : 'quorum';
}

/**
 * Reads the whole configuration from `env` and from the files that it names. Depends on nothing else but the time, for
 * the expiry of certificates. Throws {@link ConfigError}. An empty variable counts as not set.
 */
export function loadConfig(
  env: Environment,
  readFile: (path: string) => string = readText,
  nowMs = Date.now(),
): Config {
  const reader = new EnvironmentReader(env);
  const workers = workersOf(reader);
  const limits = limitsOf(reader, workers);
  const nodeTimeoutMs = nodeTimeoutOf(reader, limits);
  const edge = readEdge(reader, readFile, nowMs);
  const fleet = readFleet(reader, readFile);
  refuseEmbedded(reader, workers);
  const nearCacheBytes = reader.whole('DIBS_NEAR_CACHE_BYTES', 64 * MIB, 0, 2 ** 40);
  // Every replica receives every wake. Beyond 16 KiB, a step at the store has a call of its own.
  const wakeValueBytesMax = reader.whole('DIBS_WAKE_VALUE_BYTES', WAKE_VALUE_BYTES_MAX, 0, 16_384);
  const sessionGraceMs = reader.whole('DIBS_SESSION_GRACE_MS', 0, 0, HOUR_MS);
  // Long compared with a handshake, and short enough that new replicas get their share within minutes.
  const connectionAgeMs = reader.whole('DIBS_CONNECTION_AGE_MS', 600_000, 1_000, 24 * HOUR_MS);
  // An idle one costs about 40 KiB.
  const connectionsMax = reader.whole('DIBS_CONNECTIONS', 10_000, workers, 1_000_000);
  // One connection may use half of it: sixty answers of 1 MiB in flight, enough on any network.
  const unsentBytesMax = reader.whole('DIBS_UNSENT_BYTES', 128 * MIB, workers * MIB, 2 ** 40);
  // Values rarely shrink much, while a small compressed request can become a large one.
  const compressedRequests = reader.choice('DIBS_COMPRESSED_REQUESTS', 'false', ['true', 'false']) === 'true';
  const logLevel = reader.choice('DIBS_LOG_LEVEL', 'info', LOG_LEVELS);
  const otel = readOtelEnvironment(reader);
  const policy = Object.freeze(defaultPolicy(limits));
  const policies = policiesOf(reader, policy, readFile);
  if (reader.faults.any) throw new ConfigError(reader.faults.all);
  return Object.freeze({
    ...edge,
    fleet,
    nodeTimeoutMs,
    limits,
    nearCacheBytes,
    wakeValueBytesMax,
    sessionGraceMs,
    connectionAgeMs,
    connectionsMax,
    unsentBytesMax,
    compressedRequests,
    policies,
    policy,
    logLevel,
    otel,
    workers,
    suspicions: {
      unknownVariables: unknownVariables(env, reader.asked),
      embeddedBeyondLoopback: fleet === undefined && edge.grpcIsRemote,
      otlpMismatches: otlpMismatches(reader, otel),
      certificatesWithoutAuthority: namesCertificates(edge) && edge.tls?.material.ca === undefined,
    },
  });
}

/**
 * Reads only the policies again. A running process keeps everything else, so faults in other files are not looked for: an
 * expired certificate must not keep the old policies in force. Throws {@link ConfigError}.
 */
export function loadPolicies(
  env: Environment,
  readFile: (path: string) => string = readText,
): Config['policies'] {
  const reader = new EnvironmentReader(env);
  const limits = limitsOf(reader, workersOf(reader));
  const policies = policiesOf(reader, defaultPolicy(limits), readFile);
  if (reader.faults.any) throw new ConfigError(reader.faults.all);
  return policies;
}

function namesCertificates({ auth }: EdgeConfig): boolean {
  return [...(auth?.identities.values() ?? [])].some(({ certificates }) => certificates.length > 0);
}

/** One core each. Replicas in containers of their own are the usual way to use several. */
function workersOf(reader: EnvironmentReader): number {
  return reader.whole('DIBS_WORKERS', 1, 1, WORKERS_MAX);
}

/** Each worker would give the same leases again, from a store of its own. */
function refuseEmbedded(reader: EnvironmentReader, workers: number): void {
  const isEmbedded = ['DIBS_QUORUM_NODES', 'DIBS_STORE_URL'].every((name) => reader.get(name) === undefined);
  if (workers === 1 || !isEmbedded) return;
  reader.faults.add(
    'DIBS_WORKERS',
    `is ${workers}, and in embedded mode each worker would have a store of its own; set DIBS_QUORUM_NODES and DIBS_STORE_URL, or DIBS_WORKERS=1`,
  );
}

/** Each worker has a share of the bounds, which is at least one. */
function limitsOf(reader: EnvironmentReader, workers: number): Limits {
  // 10 s outlasts nearly every rebuild, and a dead holder is replaced within it.
  const leaseMsMax = reader.whole('DIBS_LEASE_MAX_MS', 60_000, 10, HOUR_MS);
  // Below 100 ms, drift and round trips to the lock nodes use too much of a lease.
  const leaseMsMin = reader.whole('DIBS_LEASE_MIN_MS', 100, 10, leaseMsMax);
  const leaseMs = reader.whole('DIBS_LEASE_MS', 10_000, leaseMsMin, leaseMsMax);
  // A waiter costs about 2 KiB, so 200,000 take 400 MiB. One key may have a tenth.
  const waitersMax = reader.whole('DIBS_WAITERS', 200_000, workers, 10_000_000);
  const waitersPerKeyMax = reader.whole('DIBS_WAITERS_PER_KEY', 20_000, workers, waitersMax);
  return Object.freeze({
    leaseMs,
    leaseMsMin,
    leaseMsMax,
    // Load balancers tolerate a silent call for about half a minute.
    waitMsMax: reader.whole('DIBS_WAIT_MAX_MS', 30_000, 0, HOUR_MS),
    // Redis works best below 1 MiB.
    valueBytesMax: reader.whole('DIBS_VALUE_MAX_BYTES', MIB, 1, VALUE_BYTES_MAX),
    waitersPerKeyMax,
    waitersMax,
    ...patienceOf(reader),
  });
}

function patienceOf(reader: EnvironmentReader): Pick<Limits, 'silenceMs' | 'storeTimeoutMs'> {
  // An overloaded or stopped store is back within a second or so. A failover takes longer than this anyway.
  const silenceMs = reader.whole('DIBS_SILENCE_MS', 2_000, 200, 60_000);
  // A script takes some ten microseconds, a round trip in one region a millisecond, and a fork for a snapshot can stop
  // a large Redis for 100 ms or two.
  const storeTimeoutMs = reader.whole('DIBS_STORE_TIMEOUT_MS', 300, 10, silenceMs);
  return { silenceMs, storeTimeoutMs };
}

/**
 * A hanging node costs an attempt one timeout. At most the shortest lease: otherwise, while a node hangs, no lease of
 * that length could be granted. At most a fifth of the default lease, so that four fifths remain.
 */
function nodeTimeoutOf(reader: EnvironmentReader, { leaseMs, leaseMsMin }: Limits): number {
  const max = Math.min(10_000, leaseMsMin, Math.floor(leaseMs / 5));
  // A lock node on the same network answers within a millisecond. At 100 ms it is in trouble.
  return reader.whole('DIBS_NODE_TIMEOUT_MS', 100, 1, Math.max(1, max));
}

function policiesOf(
  reader: EnvironmentReader,
  base: Policy,
  readFile: (path: string) => string,
): ReadonlyMap<string, Policy> {
  const path = reader.get('DIBS_CONFIG');
  if (path === undefined) return new Map();
  const text = reader.fileAt('DIBS_CONFIG', path, readFile);
  if (text === undefined) return new Map();
  return readPolicyFile(text, base, reader.faults.in('DIBS_CONFIG'));
}
