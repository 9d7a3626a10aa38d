import type { Config } from './config/config.js';
import type { Clock } from './coordination/clock.js';
import type { Observer } from './coordination/observer.js';
import type { Policy } from './coordination/policy.js';
import type { Tracing } from './coordination/trace.js';
import { EventLoopLag } from './event-loop-lag.js';
import type { QuorumObserver } from './quorum/quorum-observer.js';
import { rateLimited } from './telemetry/log-rate.js';
import { createLogger, decisionLog, type Logger, observeWith } from './telemetry/logger.js';
import { Metrics } from './telemetry/metrics.js';
import { otlpMetricReader, startOpenTelemetry } from './telemetry/open-telemetry.js';
import { Recent } from './telemetry/recent.js';
import { samplerOf } from './telemetry/sampler.js';
import { OpenTelemetryTracing } from './telemetry/tracing.js';
import { VERSION } from './version.js';

/** All that sees what a replica does. */
export interface Observation {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly recent: Recent;
  /** Absent where nobody wants traces: then no call pays for them. */
  readonly tracing: Tracing | undefined;
  readonly lag: EventLoopLag;
  readonly observer: Observer;
  readonly quorumObserver: QuorumObserver;
  stop(): Promise<void>;
}

/** Begins to watch, as the configuration asks. */
export async function startObservation(
  config: Config,
  clock: Clock,
  policyOf: (namespace: string) => Policy,
): Promise<Observation> {
  const log = rateLimited(createLogger(config.logLevel), clock);
  const { traces, metrics: sent } = config.otel;
  const metrics = new Metrics(sent && [await otlpMetricReader(sent)]);
  const recent = new Recent(clock);
  const openTelemetry = traces && (await startOpenTelemetry(VERSION, log));
  const lag = watchedLag(log);
  return {
    log,
    metrics,
    recent,
    lag,
    tracing:
      traces === undefined || openTelemetry === undefined
        ? undefined
        : new OpenTelemetryTracing({
            tracer: openTelemetry.tracer,
            sampled: samplerOf(traces),
            keysInClear: (namespace) => policyOf(namespace).keysInTraces === 'clear',
          }),
    observer: observeWith(metrics, decisionLog(log), recent),
    quorumObserver: watchedQuorum(log, metrics, recent),
    stop: async () => {
      lag.stop();
      recent.stop();
      await Promise.all([openTelemetry?.stop(), metrics.stop()]);
    },
  };
}

function watchedLag(log: Logger): EventLoopLag {
  const lag = new EventLoopLag((behind, lagMs) => {
    if (behind) log.warn({ lagMs }, 'this replica cannot keep up, and takes nobody in who would wait');
    else log.info({}, 'this replica keeps up again');
  });
  lag.start();
  return lag;
}

function watchedQuorum(log: Logger, metrics: Metrics, recent: Recent): QuorumObserver {
  return {
    voted: (node, vote, tookMs, why) => {
      metrics.voted(node, vote, tookMs);
      recent.voted(node, vote, tookMs, why);
    },
    stateChanged: (node, from, to, why) => {
      recent.stateChanged(node, why);
      const fields = { node, from, to, why };
      if (to === 'voting') log.info(fields, 'a lock node votes');
      else log.warn(fields, 'a lock node does not vote');
    },
  };
}
