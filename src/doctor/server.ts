import type { StoreAddress } from '../config/store-url.js';
import type { Clock } from '../coordination/ports/clock.js';
import { StoreConnection } from '../redis/connection.js';
import {
  certificateEndMs,
  factsOf,
  lockTrials,
  type ServerFacts,
  storeTrials,
  timingOf,
  tryRights,
} from '../redis/examination.js';
import { dated } from './dated.js';
import type { Findings } from './finding.js';
import { holdsWithin } from './within.js';

/** A handshake takes milliseconds, and ioredis gives one up after a second. */
const REACH_MS_MAX = 5_000;
/** After a first reason for a failure, a second try may still succeed. */
const SECOND_TRY_MS = 1_500;

export interface ExaminedServer {
  readonly role: 'lock' | 'store';
  readonly address: StoreAddress;
  readonly ca: string | undefined;
  readonly silenceMs: number;
  readonly clock: Clock;
  /** Unique, and part of the name of every key that is written. */
  readonly id: string;
}

/** A server that could be reached. */
export interface Reached {
  readonly connection: StoreConnection;
  readonly servers: readonly ServerFacts[];
  /** Whether it can do what its role needs. */
  readonly isFit: boolean;
}

/** Undefined if it cannot be reached; then a finding says why. The caller closes the connection. */
export async function examineServer(of: ExaminedServer, findings: Findings): Promise<Reached | undefined> {
  let trouble: string | undefined;
  const connection = new StoreConnection(of.address, {
    clock: of.clock,
    silenceMs: of.silenceMs,
    ca: of.ca,
    onTrouble: ({ why }) => {
      trouble = why;
    },
  });
  try {
    if (!(await isReached(connection, of.clock, () => trouble !== undefined))) {
      findings.fault('connection', trouble ?? 'no answer; check the address, the network and its firewalls');
      connection.close();
      return undefined;
    }
    const { roundTripMs, clockAheadMs } = await timingOf(connection, of.clock);
    const ahead = `${Math.abs(clockAheadMs).toFixed(0)} ms ${clockAheadMs < 0 ? 'behind' : 'ahead of'} this machine's`;
    findings.ok('connection', `round trip ${roundTripMs.toFixed(1)} ms; its clock is ${ahead}`);
    const endMs = await certificateEndMs(connection);
    if (endMs !== undefined) dated(findings, 'certificate', endMs);
    const servers = await factsOf(connection);
    const isRight = checkKind(of, servers, findings);
    if (isRight && of.role === 'store') checkSnapshots(servers, findings);
    const keepsLocks = isRight && checkEviction(of.role, servers, findings);
    const isFit = isRight && (await checkRights(of, connection, findings)) && keepsLocks;
    return { connection, servers, isFit };
  } catch (error) {
    findings.fault('connection', trouble ?? (error instanceof Error ? error.message : String(error)));
    connection.close();
    return undefined;
  }
}

async function isReached(connection: StoreConnection, clock: Clock, failed: () => boolean): Promise<boolean> {
  const startMs = clock.nowMs();
  let isReached = false;
  const isDone = async () => {
    // If not, the connection tells its trouble.
    isReached = await connection.ping().then(
      () => true,
      () => false,
    );
    return isReached || (failed() && clock.nowMs() - startMs > SECOND_TRY_MS);
  };
  await holdsWithin(clock, REACH_MS_MAX, isDone);
  return isReached;
}

/** False if the other checks would say nothing new. */
function checkKind(
  { role, address }: ExaminedServer,
  servers: readonly ServerFacts[],
  to: Findings,
): boolean {
  const one = servers[0];
  if (one === undefined) {
    to.fault('server', 'the cluster names no master');
    return false;
  }
  const names = servers.map(({ version, run }) => `${version}, run ${run.slice(0, 8)}`);
  to.ok('server', names.join('; '));
  if (role === 'lock' && one.isInCluster) {
    to.fault('kind', 'it is a node of a cluster; lock nodes must be independent of each other');
    return false;
  }
  if (address.kind === 'single' && one.isInCluster) {
    to.fault('kind', 'it is a node of a cluster; use redis+cluster://HOST:PORT in DIBS_STORE_URL');
    return false;
  }
  if (servers.some(({ isReplica }) => isReplica)) {
    to.fault('kind', 'it is a read-only replica; use the address of its master, or redis+sentinel://');
    return false;
  }
  return true;
}

/** False for a lock node that may not vote. */
function checkEviction(role: 'lock' | 'store', servers: readonly ServerFacts[], to: Findings): boolean {
  const policy = [...new Set(servers.map(({ evictionPolicy }) => evictionPolicy))].join(', ');
  if (role === 'lock' && policy !== 'noeviction') {
    to.fault(
      'eviction',
      `maxmemory-policy is ${policy}; a node that may evict locks does not vote: set noeviction`,
    );
    return false;
  }
  if (policy.includes('random')) {
    const why = 'a namespace may be evicted before its values, which then all miss';
    to.warning('eviction', `maxmemory-policy is ${policy}; ${why}: set volatile-ttl`);
  } else to.ok('eviction', `maxmemory-policy is ${policy}`);
  return true;
}

/** A snapshot has values that were invalidated after it was saved. */
function checkSnapshots(servers: readonly ServerFacts[], to: Findings): void {
  if (servers.some(({ appends, hasSaved }) => hasSaved && !appends)) {
    to.warning(
      'snapshots',
      'it saves snapshots, and has no append-only file; a restart brings back invalidated values: set save ""',
    );
  } else if (servers.every(({ appends }) => appends))
    to.ok('snapshots', 'it has an append-only file instead');
  else to.ok('snapshots', 'it has saved none since it started');
}

async function checkRights(of: ExaminedServer, connection: StoreConnection, to: Findings): Promise<boolean> {
  const trials = of.role === 'lock' ? lockTrials(of.id) : storeTrials(of.id);
  const { refused, unknown, cannotWrite } = await tryRights(connection, trials);
  if (refused.length > 0) {
    to.fault('rights', `the user may not use ${refused.join(', ')}; see deploy/operations/redis-acl.md`);
  }
  if (unknown.length > 0) {
    to.fault('commands', `Redis does not know ${unknown.join(', ')}; is it renamed, or is Redis too old?`);
  }
  const all = refused.length + unknown.length === 0;
  if (all) to.ok('rights', `the user may use all ${trials.length} commands and keys`);
  if (cannotWrite !== undefined) to.fault('writes', cannotWrite);
  return all && cannotWrite === undefined;
}
