import { type Config, ConfigError } from './config.js';
import type { Chance, Clock } from './coordination/clock.js';
import { Coordinator } from './coordination/coordinator.js';
import type { LeaseQuorum } from './coordination/lease-quorum.js';
import type { NamespaceStore } from './coordination/namespace-store.js';
import type { Policy } from './coordination/policy.js';
import type { ValueStore } from './coordination/value-store.js';
import type { WakeChannel } from './coordination/wake-channel.js';
import { Asks } from './grpc/asks.js';
import { coordinatorService } from './grpc/handlers.js';
import { Health } from './grpc/health.js';
import { OpenStreams } from './grpc/open-streams.js';
import { Reflection } from './grpc/reflection.js';
import { GrpcServer } from './grpc/server.js';
import { Sessions } from './grpc/sessions.js';
import { HttpServer } from './http/server.js';
import { MemoryLeaseQuorum } from './memory/lease-quorum.js';
import { MemoryNamespaceStore } from './memory/namespace-store.js';
import { MemoryValueStore } from './memory/value-store.js';
import { MemoryWakeChannel } from './memory/wake-channel.js';
import { RedlockQuorum } from './quorum/redlock-quorum.js';
import { StoreConnection } from './redis/connection.js';
import { RedisFirstStart } from './redis/first-start.js';
import { RedisLockNode } from './redis/lock-node.js';
import { RedisNamespaceStore } from './redis/namespace-store.js';
import { claimStoreFormat, NewerStore } from './redis/store-format.js';
import { RedisValueStore } from './redis/value-store.js';
import { RedisWakeChannel } from './redis/wake-channel.js';
import { SystemChance } from './system-chance.js';
import { SystemClock } from './system-clock.js';
import { rateLimited } from './telemetry/log-rate.js';
import { createLogger, decisionLog, type Logger, observeWith } from './telemetry/logger.js';
import { Metrics } from './telemetry/metrics.js';
import { otlpMetricReader, startOpenTelemetry } from './telemetry/open-telemetry.js';
import { samplerOf } from './telemetry/sampler.js';
import { OpenTelemetryTracing } from './telemetry/tracing.js';
import { VERSION } from './version.js';

/** One running replica. */
export interface App {
  /** Where gRPC and HTTP listen, with the ports that they were given. */
  readonly grpcAddresses: readonly string[];
  readonly httpAddress: string;
  readonly mode: 'embedded' | 'quorum';
  /** Waiters are answered, nobody waits or gets a lease here any more, and health says so. Idempotent. */
  drain(): void;
  /** Takes over the policies of a configuration that is read anew; one with faults is logged, and nothing changes. */
  reload(read: () => Config): void;
  /** Drains, lets the open calls end within a bound, and gives everything back. Idempotent. */
  stop(): Promise<void>;
}

/** A fleet that does not answer by then may be down for long, and the ladder of degradation must serve. */
const FIRST_CONTACT_MS_MAX = 10_000;
const FIRST_CONTACT_TRY_MS = 50;
/** After a drain only calls that are being answered are open. Orchestrators kill after 30 s. */
const STOP_MS_MAX = 10_000;

/** What decides: the ports that the coordinator works on, and how to let go of them. */
interface Authorities {
  readonly store: ValueStore;
  readonly quorum: LeaseQuorum;
  readonly namespaces: NamespaceStore;
  readonly wakes: WakeChannel;
  /** Resolves at the first contact with everything, or when that takes too long. */
  contact(): Promise<void>;
  /** Lock nodes by state. */
  quorumNodes(): ReadonlyMap<string, number>;
  close(): Promise<void>;
}

interface Tools {
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Builds one replica and starts it. Resolves when it serves; rejects, with nothing left open, if it cannot. */
export async function startApp(config: Config): Promise<App> {
  const opened: (() => unknown)[] = [];
  const closeAll = async () => {
    for (let close = opened.pop(); close !== undefined; close = opened.pop()) await close();
  };
  try {
    return await start(config, opened, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function start(config: Config, opened: (() => unknown)[], closeAll: () => Promise<void>): Promise<App> {
  const { limits, nearCacheBytes } = config;
  const clock = new SystemClock();
  const log = rateLimited(createLogger(config.logLevel), clock);
  const metrics = new Metrics(config.otel.metrics && [await otlpMetricReader(config.otel.metrics)]);
  opened.push(() => metrics.stop());
  let ready = false;
  const scrape = () => metrics.scrape();
  const http = await HttpServer.bind({ ...config.httpListen, ready: () => ready, scrape });
  opened.push(() => http.stop());
  const tools = { clock, chance: new SystemChance(), log, metrics };
  const authorities = config.fleet === undefined ? embedded(tools) : fleet(config, config.fleet, tools);
  opened.push(() => authorities.close());
  let { policies } = config;
  const policyOf = (namespace: string) => policies.get(namespace) ?? config.policy;
  const tracing = await tracingOf(config, policyOf, log);
  if (tracing !== undefined) opened.push(tracing.stop);
  const observer = observeWith(metrics, decisionLog(log));
  const coordinator = new Coordinator({
    ...tools,
    ...authorities,
    limits,
    policyOf,
    observer,
    nearCacheBytes,
  });
  opened.push(() => coordinator.close());
  metrics.watch({
    waiters: () => coordinator.waiters,
    leasesHeld: () => coordinator.leasesHeld,
    nearCacheBytes: () => coordinator.nearCacheBytes,
    quorumNodes: () => authorities.quorumNodes(),
  });
  await authorities.contact();

  const streams = new OpenStreams();
  const health = new Health(streams);
  const unexpected = (error: unknown, method: string) => log.error({ err: error, method }, 'unexpected');
  const bounds = { limits, policyOf };
  const sessions = new Sessions({
    ...{ asks: new Asks(coordinator, bounds), coordinator, bounds, wakes: authorities.wakes },
    graceMs: config.sessionGraceMs,
    unexpected: (cause) => unexpected(cause, 'Session'),
    ...tracing?.parts,
  });
  opened.push(() => sessions.stop());
  const service = coordinatorService({ coordinator, ...bounds, sessions, unexpected, ...tracing?.parts });
  const grpc = await GrpcServer.bind({
    listen: config.grpcListen,
    services: [service, health.service, ...new Reflection().services(streams)],
    ...limits,
  });
  opened.push(() => grpc.stop(STOP_MS_MAX));
  ready = true;
  health.setServing(true);

  const drain = () => {
    if (!ready) return;
    log.info({ waiters: coordinator.waiters }, 'draining');
    ready = false;
    health.setServing(false);
    sessions.drain();
    coordinator.drain();
  };
  const stop = async () => {
    drain();
    streams.end();
    await sessions.stop();
    await closeAll();
    log.info({}, 'stopped');
  };
  let stopped: Promise<void> | undefined;
  return {
    grpcAddresses: grpc.addresses,
    httpAddress: http.address,
    mode: config.fleet === undefined ? 'embedded' : 'quorum',
    drain,
    reload: (read) => {
      try {
        policies = read().policies;
        log.info({ namespaces: policies.size }, 'DIBS_CONFIG was read again');
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        log.error({ faults: error.faults }, 'DIBS_CONFIG has faults; the policies stay as they were');
      }
    },
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

/** Undefined where nobody wants traces: then no call pays for them. */
async function tracingOf(config: Config, policyOf: (namespace: string) => Policy, log: Logger) {
  const { traces } = config.otel;
  if (traces === undefined) return undefined;
  const { tracer, stop } = await startOpenTelemetry(VERSION, log);
  const keysInClear = (namespace: string) => policyOf(namespace).keysInTraces === 'clear';
  const tracing = new OpenTelemetryTracing({ tracer, sampled: samplerOf(traces), keysInClear });
  return { parts: { tracing }, stop };
}

/** Everything in this process's memory: one replica. */
function embedded({ clock, chance }: Tools): Authorities {
  const wakes = new MemoryWakeChannel();
  return {
    store: new MemoryValueStore({ clock, wakes }),
    namespaces: new MemoryNamespaceStore({ clock, chance, wakes }),
    quorum: new MemoryLeaseQuorum({ clock, chance }),
    wakes,
    contact: async () => {},
    quorumNodes: () => new Map(),
    close: async () => {},
  };
}

/** Lock nodes and a value store on Redis, shared with the other replicas. */
function fleet(config: Config, urls: NonNullable<Config['fleet']>, tools: Tools): Authorities {
  const { clock, chance, log, metrics } = tools;
  const onError = (error: Error) => log.debug({ err: error }, 'the value store cannot be reached');
  const connection = new StoreConnection(urls.storeUrl, { onError });
  const wakes = new RedisWakeChannel(urls.storeUrl, { onError });
  const quorum = new RedlockQuorum({
    nodes: urls.lockNodeUrls.map((url) => new RedisLockNode(url)),
    claim: new RedisFirstStart(connection),
    clock,
    chance,
    timeoutMs: config.nodeTimeoutMs,
    leaseMsMax: config.limits.leaseMsMax,
    observer: {
      voted: (node, vote, tookMs) => metrics.voted(node, vote, tookMs),
      stateChanged: (node, from, to, why) => {
        const fields = { node, from, to, why };
        if (to === 'voting') log.info(fields, 'a lock node votes');
        else log.warn(fields, 'a lock node does not vote');
      },
    },
  });
  quorum.start();
  return {
    store: new RedisValueStore(connection),
    namespaces: new RedisNamespaceStore(connection, chance),
    quorum,
    wakes,
    contact: async () => {
      await Promise.all([quorum.ready(FIRST_CONTACT_MS_MAX), storeIsOurs(connection, tools)]);
    },
    quorumNodes: () => {
      const counts = new Map<string, number>();
      for (const state of quorum.states().values()) counts.set(state, (counts.get(state) ?? 0) + 1);
      return counts;
    },
    close: async () => {
      await quorum.close();
      wakes.close();
      connection.close();
    },
  };
}

/** Resolves when the store has answered and is of a format that we know, or when that takes too long. */
async function storeIsOurs(connection: StoreConnection, { clock, log }: Tools): Promise<void> {
  const err = await claimFormat(connection, clock, FIRST_CONTACT_MS_MAX);
  if (err === undefined) return;
  log.warn({ err }, 'the value store does not answer; serving without it until it does');
  claimFormat(connection, clock, Number.POSITIVE_INFINITY).catch((error) => {
    log.error({ err: error }, 'serving without the value store for good');
    connection.close();
  });
}

/** Why the store could not be asked by then; undefined where it was, and is ours. Rejects with {@link NewerStore}. */
async function claimFormat(connection: StoreConnection, clock: Clock, msMax: number): Promise<unknown> {
  const untilMs = clock.nowMs() + msMax;
  for (;;) {
    try {
      return await claimStoreFormat(connection);
    } catch (error) {
      if (error instanceof NewerStore) throw error;
      if (connection.closed || clock.nowMs() > untilMs) return error;
    }
    await new Promise<void>((resolve) => clock.after(FIRST_CONTACT_TRY_MS, resolve));
  }
}
