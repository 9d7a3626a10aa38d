import { hostname } from 'node:os';
import type { Access } from './access/access.js';
import { type Authorities, authoritiesOf } from './authorities.js';
import { type Config, modeOf } from './config/config.js';
import { ConfigError } from './config/faults.js';
import { Coordinator } from './coordination/coordinator.js';
import { accessOf, bindPages, type PagesPart, SHOWN_MAX, sharesOf, watchesOf } from './edges.js';
import type { Edge } from './grpc/answer.js';
import { Health } from './grpc/health.js';
import { OpenStreams } from './grpc/open-streams.js';
import { reflectionServices } from './grpc/reflection.js';
import { type AcceptedConnections, GrpcServer, type GrpcServerOptions } from './grpc/server.js';
import { coordinatorService } from './grpc/service.js';
import { Sessions } from './grpc/session/sessions.js';
import { Turns } from './grpc/turns.js';
import type { ConsoleState } from './http/console-state.js';
import { type Observation, startObservation } from './observation.js';
import { NODE_STATES } from './quorum/quorum-observer.js';
import { SystemChance } from './system-chance.js';
import { SystemClock } from './system-clock.js';
import { LOG } from './telemetry/log-texts.js';
import type { Logger } from './telemetry/logger.js';
import type { Recent } from './telemetry/recent.js';
import { VERSION } from './version.js';

/** One running replica. */
export interface App {
  /** The addresses of gRPC and HTTP, with their actual ports. */
  readonly grpcAddresses: readonly string[];
  /** Empty if another process serves the pages. */
  readonly httpAddress: string;
  readonly mode: 'embedded' | 'quorum';
  /** Answers all waiters, accepts no new waits or leases, and reports "not serving". Idempotent. */
  drain(): void;
  /**
   * Reloads the policies, the certificate and the permissions, each independently. One with faults is logged and keeps
   * its old content. Resolves when done.
   */
  reload(read: () => Config['policies']): Promise<void>;
  /** Drains, lets open calls end within a bound, and closes everything. Idempotent. */
  stop(): Promise<void>;
}

/** What another process does for a replica: it accepts the connections, and serves the pages of several replicas. */
export interface Outside {
  readonly connections: AcceptedConnections;
  /** Receives this replica's part of the pages. */
  serves(part: PagesPart): void;
}

/** After a drain, only calls that are being answered are open. Orchestrators kill after 30 s. */
const STOP_MS_MAX = 10_000;

/**
 * Builds and starts one replica. Resolves when it serves. If it cannot, closes everything and rejects. Without `outside`
 * it listens itself.
 */
export async function startApp(config: Config, outside?: Outside): Promise<App> {
  const opened: (() => unknown)[] = [];
  const closeAll = async () => {
    for (let close = opened.pop(); close !== undefined; close = opened.pop()) await close();
  };
  try {
    return await start(config, outside, opened, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function start(
  config: Config,
  outside: Outside | undefined,
  opened: (() => unknown)[],
  closeAll: () => Promise<void>,
): Promise<App> {
  const { limits, nearCacheBytes } = config;
  const kept = { policies: config.policies, isRefused: false };
  const policyOf = (namespace: string) => kept.policies.get(namespace) ?? config.policy;
  const clock = new SystemClock();
  const observation = await startObservation(config, clock, policyOf);
  opened.push(() => observation.stop());
  const { log, metrics, recent, lag, observer } = observation;
  let ready = false;
  let state = (): ConsoleState | undefined => undefined;
  warnOf(config, log);
  const access = accessOf(config, clock, log);
  const tls = config.tls?.material;
  const shares = sharesOf(config, log, metrics);
  const started = onceTrue(() => ready && authorities.reached());
  const pages = { ready: () => ready, started, scrape: () => metrics.scrape(), consoleState: () => state() };
  const http =
    outside === undefined ? await bindPages(config, { ...pages, ...shares.http, clock, access }) : undefined;
  outside?.serves(pages);
  opened.push(() => http?.stop());
  const chance = new SystemChance();
  const authorities = authoritiesOf(config, { clock, chance, ...observation });
  opened.push(() => authorities.close());
  const parts = { clock, chance, limits, policyOf, observer, nearCacheBytes };
  const coordinator = new Coordinator({
    ...parts,
    ...authorities,
    overloaded: () => lag.behind,
    waitersMaxOf: access && ((identity) => access.waitersMaxOf(identity)),
  });
  opened.push(() => coordinator.close());
  watchGauges(config, observation, coordinator, authorities);
  await authorities.contact();

  const streams = new OpenStreams();
  const health = new Health(streams);
  const turns = new Turns();
  const edge: Edge = { coordinator, limits, policyOf, ...edgeOf(observation, turns, access) };
  const { sessionGraceMs: graceMs, connectionAgeMs: ageMs } = config;
  const sessions = new Sessions({ edge, turns, wakes: authorities.wakes, clock, graceMs, ageMs });
  opened.push(() => sessions.stop());
  const services = [
    coordinatorService(edge, sessions),
    health.service,
    ...reflectionServices(streams, access),
  ];
  const doors = { ...shares.grpc, failed: metrics.callFailed, accepted: outside?.connections };
  const grpc = await serve(config, { services, tls, clock, guard: access, ...doors });
  opened.push(() => grpc.stop(STOP_MS_MAX));
  metrics.watchFile('DIBS_CONFIG', () => kept.isRefused);
  const watches = watchesOf(config, http === undefined ? [grpc] : [http, grpc], access, observation);
  opened.push(() => watches.map((watch) => watch.stop()));
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
  const app: App = {
    grpcAddresses: grpc.addresses,
    httpAddress: http?.address ?? '',
    mode: modeOf(config),
    drain,
    reload: async (read) => {
      readPoliciesAgain(kept, read, log);
      await Promise.all(watches.map((watch) => watch.check()));
    },
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
  state = () => stateOf({ ...config, app, ready, coordinator, sessions, authorities, recent });
  return app;
}

/** Stays true once it was. */
function onceTrue(is: () => boolean): () => boolean {
  let was = false;
  return () => {
    was ||= is();
    return was;
  };
}

/** Serves gRPC within the bounds of the configuration. */
function serve(
  config: Config,
  parts: Pick<
    GrpcServerOptions,
    | 'services'
    | 'accepted'
    | 'tls'
    | 'clock'
    | 'guard'
    | 'failed'
    | 'connectionsMax'
    | 'connectionRefused'
    | 'handshakeFailed'
  >,
): Promise<GrpcServer> {
  const { grpcListen: listen, connectionAgeMs, unsentBytesMax, compressedRequests } = config;
  const { valueBytesMax, waitersMax, waitersPerKeyMax } = config.limits;
  const sizes = { valueBytesMax, waitersMax, waitersPerKeyMax, unsentBytesMax };
  return GrpcServer.bind({ listen, connectionAgeMs, compressedRequests, ...sizes, ...parts });
}

/** Everything that a call needs apart from the coordinator and its bounds. */
function edgeOf(
  { log, metrics, tracing }: Observation,
  turns: Turns,
  guard: Access | undefined,
): Omit<Edge, 'coordinator' | 'limits' | 'policyOf'> {
  return {
    guard,
    tracing,
    holder: '',
    session: undefined,
    pace: (rest) => turns.begin(rest),
    unexpected: (err, method) => log.error({ err, method }, 'unexpected'),
    failed: metrics.callFailed,
  };
}

/** Logs settings that are allowed but probably a mistake. */
function warnOf({ suspicions }: Config, log: Logger): void {
  for (const unknown of suspicions.unknownVariables) log.warn(unknown, LOG.unknownVariable);
  if (suspicions.embeddedBeyondLoopback) log.warn({}, LOG.embeddedBeyondLoopback);
  for (const mismatch of suspicions.otlpMismatches) log.warn(mismatch, LOG.otlpMismatch);
  if (suspicions.certificatesWithoutAuthority) log.warn({}, LOG.certificatesWithoutAuthority);
}

function watchGauges(
  config: Config,
  { metrics, spans }: Pick<Observation, 'metrics' | 'spans'>,
  coordinator: Coordinator,
  authorities: Authorities,
): void {
  metrics.is(modeOf(config), VERSION);
  if (config.fleet !== undefined) {
    const { leaseMsMax, silenceMs } = config.limits;
    metrics.shares({ DIBS_LEASE_MAX_MS: leaseMsMax, DIBS_SILENCE_MS: silenceMs });
  }
  metrics.watch({
    waiters: () => coordinator.waiters,
    waitersMax: config.limits.waitersMax,
    longestWaitMs: () => coordinator.longestWaitMs,
    leasesHeld: () => coordinator.leasesHeld,
    nearCacheBytes: () => coordinator.nearCacheBytes,
    undecided: () => coordinator.undecided,
    wakesLive: () => authorities.wakes.live,
    nodeStates: () => authorities.nodeStates(),
    nodeGroups: () => authorities.nodeGroups(),
    statesOfNodes: NODE_STATES,
    spans,
  });
}

/** The policies in force, and whether later ones had faults. */
interface Policies {
  policies: Config['policies'];
  isRefused: boolean;
}

function readPoliciesAgain(kept: Policies, read: () => Config['policies'], log: Logger): void {
  try {
    kept.policies = read();
    kept.isRefused = false;
    log.info({ namespaces: kept.policies.size }, LOG.policiesReloaded);
  } catch (error) {
    kept.isRefused = true;
    // A fault of this code too is no reason to end a process that serves.
    const faults = error instanceof ConfigError ? error.faults : [String(error)];
    log.error({ faults }, LOG.policiesKept);
  }
}

/** The current state for the console. */
function stateOf(of: {
  readonly app: App;
  readonly ready: boolean;
  readonly coordinator: Coordinator;
  readonly sessions: Sessions;
  readonly authorities: Authorities;
  readonly recent: Recent;
  readonly traceUrl: string;
}): ConsoleState {
  const { app, ready, coordinator, sessions, authorities, recent, traceUrl } = of;
  const { mode, grpcAddresses: grpc } = app;
  const { waiters, nearCacheBytes, undecided } = coordinator;
  const { held, waits } = coordinator.shown(SHOWN_MAX);
  return {
    atMs: Date.now(),
    replica: {
      host: hostname(),
      pid: process.pid,
      grpc,
      version: VERSION,
      mode,
      draining: !ready,
      uptimeMs: process.uptime() * 1_000,
    },
    now: {
      waiters,
      waits,
      sessions: sessions.open,
      nearCacheBytes,
      undecided,
    },
    held,
    traceUrl,
    recent: recent.shown(authorities.nodeStates()),
  };
}
