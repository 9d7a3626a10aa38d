import type { Config } from './config/config.js';
import type { Chance, Clock } from './coordination/ports/clock.js';
import type { LeaseQuorum } from './coordination/ports/lease-quorum.js';
import type { NamespaceStore } from './coordination/ports/namespace-store.js';
import type { ValueStore } from './coordination/ports/value-store.js';
import type { WakeChannel } from './coordination/ports/wake-channel.js';
import { MemoryLeaseQuorum } from './memory/lease-quorum.js';
import { MemoryNamespaceStore } from './memory/namespace-store.js';
import { MemoryValueStore } from './memory/value-store.js';
import { MemoryWakeChannel } from './memory/wake-channel.js';
import { lockGroupOf } from './quorum/lock-group.js';
import type { NodeState, QuorumObserver } from './quorum/quorum-observer.js';
import { RedlockQuorum } from './quorum/redlock-quorum.js';
import { SeparateRuns } from './quorum/separate-runs.js';
import { ShardedQuorum } from './quorum/sharded-quorum.js';
import { StoreConnection, type StoreTrouble } from './redis/connection.js';
import { RedisFirstStart } from './redis/first-start.js';
import { lockNodeName, RedisLockNode } from './redis/lock-node.js';
import { RedisNamespaceStore } from './redis/namespace-store.js';
import { claimStoreFormat, NewerStore } from './redis/store-format.js';
import { troubleOf } from './redis/trouble.js';
import { RedisValueStore } from './redis/value-store.js';
import { RedisWakeChannel } from './redis/wake-channel.js';
import { LOG } from './telemetry/log-texts.js';
import type { Logger } from './telemetry/logger.js';
import type { Reasons } from './telemetry/reasons.js';
import { TroubleLog } from './telemetry/trouble-log.js';
import { WakeLog } from './telemetry/wake-log.js';

/** If the fleet does not answer by then, it may be down for long. Start degraded. */
const FIRST_CONTACT_MS_MAX = 10_000;
const FIRST_CONTACT_TRY_MS = 50;

/** The coordinator's ports, and how to close them. */
export interface Authorities {
  readonly store: ValueStore;
  readonly quorum: LeaseQuorum;
  readonly namespaces: NamespaceStore;
  readonly wakes: WakeChannel;
  /** Resolves after the first contact with everything, or after a timeout. */
  contact(): Promise<void>;
  /** Whether the value store, or a majority of the lock nodes, has answered as it should. */
  reached(): boolean;
  /** The state of each lock node, by name. */
  nodeStates(): ReadonlyMap<string, string>;
  /** The states of the lock nodes of each group, by its label: empty if there is only one group. */
  nodeGroups(): ReadonlyMap<string, readonly string[]>;
  close(): Promise<void>;
}

export interface AuthorityTools {
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Logger;
  /** Receives why the store does not serve. */
  readonly reasons: Reasons;
  /** Observes the lock nodes. */
  readonly quorumObserver: QuorumObserver;
}

/** The authorities of the configuration. Starts to connect. */
export function authoritiesOf(config: Config, tools: AuthorityTools): Authorities {
  return config.fleet === undefined ? embedded(tools) : fleet(config, config.fleet, tools);
}

/** Everything in this process's memory: one replica. */
function embedded({ clock, chance }: AuthorityTools): Authorities {
  const wakes = new MemoryWakeChannel();
  return {
    store: new MemoryValueStore({ clock, wakes }),
    namespaces: new MemoryNamespaceStore({ clock, chance, wakes }),
    quorum: new MemoryLeaseQuorum({ clock }),
    wakes,
    contact: async () => {},
    reached: () => true,
    nodeStates: () => new Map(),
    nodeGroups: () => new Map(),
    close: async () => {},
  };
}

/** Lock nodes and a value store on Redis, shared with the other replicas. */
function fleet(config: Config, addresses: NonNullable<Config['fleet']>, tools: AuthorityTools): Authorities {
  const { clock, chance, log, reasons, quorumObserver } = tools;
  const trouble = new TroubleLog(log, clock, reasons);
  const wakeLog = new WakeLog(log, clock);
  const onTrouble = (one: StoreTrouble) => {
    trouble.heard(one);
    if (one.kind === 'unreachable') wakeLog.storeUnreachable();
  };
  const { store, redisCa: ca } = addresses;
  const { silenceMs, leaseMsMax } = config.limits;
  const connection = new StoreConnection(store, {
    clock,
    silenceMs,
    onTrouble,
    onReady: () => {
      trouble.over();
      wakeLog.storeConnected();
    },
    onRun: (run) => runs.storeIs(run),
    awaitsFormat: true,
    ca,
  });
  const wakes = new RedisWakeChannel(store, {
    clock,
    silenceMs,
    onError: (error) => {
      const why = troubleOf(error);
      log.debug({ err: error, why }, 'wake channel unreachable');
      wakeLog.failed(why);
    },
    onLive: () => wakeLog.heard(),
    onLinksHidden: (error) => log.warn({ why: troubleOf(error) }, LOG.linksHidden),
    onHeard: () => connection.heard(),
    ca,
  });
  const runs = new SeparateRuns((node) => quorumObserver.sharesStore(node));
  const groups = lockGroups(config, addresses, { ...tools, runs, connection });
  for (const { quorum } of groups) quorum.start();
  let isStoreOurs = false;
  return {
    store: new RedisValueStore(connection, config.wakeValueBytesMax),
    namespaces: new RedisNamespaceStore(connection, chance),
    quorum: quorumOf(groups),
    wakes,
    contact: async () => {
      const stores = storeIsOurs(connection, tools, () => {
        isStoreOurs = true;
      });
      await Promise.all([...groups.map(({ quorum }) => quorum.ready(FIRST_CONTACT_MS_MAX)), stores]);
      for (const { quorum } of groups) warnOfWaiting(quorum.states(), leaseMsMax, log);
    },
    reached: () => isStoreOurs || groups.some(({ quorum }) => areReached(quorum.states())),
    nodeStates: () => new Map(groups.flatMap(({ quorum }) => [...quorum.states()])),
    nodeGroups: () => new Map(groups.map(({ quorum, label }) => [label, [...quorum.states().values()]])),
    close: async () => {
      await Promise.all(groups.map(({ quorum }) => quorum.close()));
      wakes.close();
      connection.close();
    },
  };
}

/** One group of lock nodes. */
interface Group {
  readonly label: string;
  readonly quorum: RedlockQuorum;
}

interface GroupTools extends Omit<AuthorityTools, 'log' | 'reasons'> {
  readonly runs: SeparateRuns;
  readonly connection: StoreConnection;
}

function lockGroups(
  config: Config,
  { lockGroups, redisCa: ca }: NonNullable<Config['fleet']>,
  { clock, chance, quorumObserver, runs, connection }: GroupTools,
): readonly Group[] {
  const { silenceMs, leaseMsMax } = config.limits;
  const isOnly = lockGroups.length === 1;
  return lockGroups.map((addresses) => {
    const group = lockGroupOf(addresses.map(lockNodeName), isOnly ? 'only' : 'others');
    const quorum = new RedlockQuorum({
      nodes: addresses.map((address) => new RedisLockNode(address, { clock, silenceMs, ca })),
      claim: new RedisFirstStart(connection, group.name, isOnly),
      ...{ group, runs, clock, chance, silenceMs, leaseMsMax },
      timeoutMs: config.nodeTimeoutMs,
      observer: quorumObserver,
    });
    return { label: group.label, quorum };
  });
}

/** With one group, its own: calls pay nothing for the choice. */
function quorumOf(groups: readonly Group[]): LeaseQuorum {
  const quorums = groups.map(({ quorum }) => quorum);
  const [only, ...others] = quorums;
  return only !== undefined && others.length === 0 ? only : new ShardedQuorum(quorums);
}

/** The states of a node that has answered, whether or not it may vote yet. */
const REACHED: ReadonlySet<NodeState> = new Set(['voting', 'waiting', 'evicting', 'duplicate']);

function areReached(states: ReadonlyMap<string, NodeState>): boolean {
  return [...states.values()].filter((state) => REACHED.has(state)).length > states.size / 2;
}

/**
 * Explains a slow first start. One wrong address of five makes it wait for the whole timeout, without any other sign.
 */
function warnOfWaiting(states: ReadonlyMap<string, string>, waitMsMax: number, log: Logger): void {
  const namesIn = (is: (state: string) => boolean) =>
    [...states].flatMap(([name, state]) => (is(state) ? [name] : []));
  const waiting = namesIn((state) => state === 'waiting');
  if (waiting.length === 0 || namesIn((state) => state === 'voting').length * 2 > states.size) return;
  const missing = namesIn((state) => state !== 'waiting' && state !== 'voting');
  log.warn({ waiting, missing, waitMsMax }, LOG.quorumWaits);
}

/**
 * Resolves when the store has answered with a known format, or after a timeout, because a store may be late for long.
 * Calls `isOurs` when the store has answered, even after the timeout.
 */
async function storeIsOurs(
  connection: StoreConnection,
  { clock, log }: AuthorityTools,
  isOurs: () => void,
): Promise<void> {
  let lastError: unknown;
  const claiming = claimFormat(connection, clock, (error) => {
    lastError = error;
  }).then(isOurs);
  let cancel = () => {};
  const timeout = new Promise<'late'>((resolve) => {
    cancel = clock.after(FIRST_CONTACT_MS_MAX, () => resolve('late'));
  });
  const first = await Promise.race([claiming, timeout]).finally(cancel);
  if (first !== 'late') return;
  log.warn({ why: lastError instanceof Error ? lastError.message : 'no reply' }, LOG.storeSilent);
  claiming.catch((error) => {
    log.error({ err: error }, LOG.storeTooNew);
    connection.close();
  });
}

/** Tries until the store's format is known, or the connection is closed. Rejects with {@link NewerStore}. */
async function claimFormat(
  connection: StoreConnection,
  clock: Clock,
  failed: (error: unknown) => void,
): Promise<void> {
  while (!connection.closed) {
    try {
      await claimStoreFormat(connection);
      return;
    } catch (error) {
      if (error instanceof NewerStore) throw error;
      failed(error);
    }
    await new Promise<void>((resolve) => clock.after(FIRST_CONTACT_TRY_MS, resolve));
  }
}
