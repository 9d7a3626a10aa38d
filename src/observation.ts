import type { Config } from './config/config.js';
import type { Clock } from './coordination/ports/clock.js';
import type { Observer } from './coordination/ports/observer.js';
import type { Policy } from './coordination/words/policy.js';
import type { Tracing } from './coordination/words/trace.js';
import { EventLoopLag } from './event-loop-lag.js';
import type { QuorumObserver } from './quorum/quorum-observer.js';
import { logLibraryOutput } from './telemetry/library-output.js';
import { rateLimited } from './telemetry/log-rate.js';
import { LOG } from './telemetry/log-texts.js';
import { createLogger, decisionLog, type Logger, observeWith } from './telemetry/logger.js';
import { Metrics } from './telemetry/metrics.js';
import { NamespaceSeries } from './telemetry/namespace-series.js';
import { otlpMetricReader, startOpenTelemetry, tellProblems } from './telemetry/open-telemetry.js';
import { Reasons } from './telemetry/reasons.js';
import { Recent } from './telemetry/recent.js';
import { samplerOf } from './telemetry/sampler.js';
import { OpenTelemetryTracing } from './telemetry/tracing.js';
import { VERSION } from './version.js';

/** Everything that observes a replica. */
export interface Observation {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly recent: Recent;
  readonly reasons: Reasons;
  /** Absent without traces, so that calls pay nothing for them. */
  readonly tracing: Tracing | undefined;
  readonly lag: EventLoopLag;
  /** How many spans were sent, failed or dropped since the start. Empty without traces. */
  spans(): Promise<ReadonlyMap<string, number>>;
  readonly observer: Observer;
  readonly quorumObserver: QuorumObserver;
  stop(): Promise<void>;
}

/** Starts the observers that the configuration asks for. */
export async function startObservation(
  config: Config,
  clock: Clock,
  policyOf: (namespace: string) => Policy,
): Promise<Observation> {
  const log = rateLimited(createLogger(config.logLevel, undefined, config.worker), clock);
  const endLibraryOutput = logLibraryOutput(log);
  const { traces, metrics: sent } = config.otel;
  if (traces !== undefined || sent !== undefined) tellProblems(log);
  const series = new NamespaceSeries(clock);
  const metrics = new Metrics(series, sent && [await otlpMetricReader(sent, series)]);
  const recent = new Recent(clock);
  const reasons = new Reasons();
  const openTelemetry = traces && (await startOpenTelemetry(VERSION, log));
  const lag = watchedLag(log);
  return {
    log,
    metrics,
    recent,
    reasons,
    lag,
    tracing:
      traces === undefined || openTelemetry === undefined
        ? undefined
        : new OpenTelemetryTracing({
            tracer: openTelemetry.tracer,
            sampled: samplerOf(traces),
            keysInClear: (namespace) => policyOf(namespace).keysInTraces === 'clear',
          }),
    spans: async () => (await openTelemetry?.spans()) ?? new Map(),
    observer: observeWith(metrics, decisionLog(log, reasons), recent),
    quorumObserver: watchedQuorum(log, metrics, recent, reasons),
    stop: async () => {
      lag.stop();
      recent.stop();
      await Promise.all([openTelemetry?.stop(), metrics.stop()]);
      endLibraryOutput();
    },
  };
}

function watchedLag(log: Logger): EventLoopLag {
  const lag = new EventLoopLag((behind, lagMs) => {
    if (behind) log.warn({ lagMs }, LOG.overloaded);
    else log.info({}, LOG.keepingUp);
  });
  lag.start();
  return lag;
}

function watchedQuorum(log: Logger, metrics: Metrics, recent: Recent, reasons: Reasons): QuorumObserver {
  return {
    voted: (node, vote, tookMs, why) => {
      metrics.voted(node, vote, tookMs);
      recent.voted(node, vote, tookMs, why);
    },
    stateChanged: (node, from, to, why) => {
      recent.stateChanged(node, why);
      reasons.nodeIs(node, to === 'voting', why);
      const fields = { node, from, to, why };
      if (to === 'voting') log.info(fields, LOG.lockNodeVoting);
      // Each healthy start begins like this: the node has just connected, and its wait ends by itself.
      else if (from === 'connecting' && to === 'waiting') log.info(fields, LOG.lockNodeNotVoting);
      else log.warn(fields, LOG.lockNodeNotVoting);
    },
    sharesStore: (node) => log.warn({ node }, LOG.storeIsLockNode),
  };
}
