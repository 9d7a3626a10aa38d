import { type DestinationStream, destination, pino } from 'pino';
import type { Observer } from '../coordination/observer.js';
import type { Degraded, LeaseEnd, PublishOutcome } from '../coordination/outcome.js';
import { readTraceparent } from './traceparent.js';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** As much of pino as the composition root needs; fields first, for a machine, then words, for a person. */
export interface Logger {
  isLevelEnabled(level: LogLevel): boolean;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Writes JSON lines to standard error, at once, so that the last ones before an end are not lost. */
export function createLogger(level: LogLevel, stream: DestinationStream = destination({ dest: 2 })): Logger {
  const timestamp = () => `,"time":"${new Date().toISOString()}"`;
  const formatters = { level: (label: string) => ({ level: label }) };
  return pino({ level, base: null, timestamp, formatters }, stream);
}

/**
 * What an operator would ask about, where all see it: each step on the ladder, leases that their holders
 * lost, publishes that were refused. Every other decision is a line at `debug`. Never a key, a token or a value.
 */
export function decisionLog(log: Logger): Partial<Observer> {
  let mode: Degraded = 'none';
  return {
    // Decided once: whoever does not log at debug should not pay for a line with every hit.
    ...(log.isLevelEnabled('debug') ? debugLog(log) : {}),
    published: (namespace, outcome, rebuildMs, traceparent) => {
      const fields = { namespace, outcome, rebuildMs, ...traceOf(traceparent) };
      const why = REFUSED[outcome];
      if (why === undefined) log.debug(fields, 'Publish answered');
      else log.warn(fields, why);
    },
    leaseEnded: (namespace, end, heldMs, traceparent) => {
      const fields = { namespace, end, heldMs, ...traceOf(traceparent) };
      const why = LOST[end];
      if (why === undefined) log.debug(fields, 'a lease ended');
      else log.warn(fields, why);
    },
    degraded(now) {
      if (now === mode) return;
      const fields = { from: mode, to: now };
      mode = now;
      if (now === 'none') log.info(fields, 'quorum and store work again');
      else log.warn(fields, 'decisions are made without a part of the fleet');
    },
  };
}

function debugLog(log: Logger): Partial<Observer> {
  return {
    answered: (namespace, outcome, degraded) =>
      log.debug({ namespace, outcome, degraded }, 'GetOrLock answered'),
    waited: (namespace, endedBy, waitedMs) => log.debug({ namespace, endedBy, waitedMs }, 'a wait ended'),
  };
}

/** An invalidation that refuses the publish of a rebuild from before it does what it is there for: no warning. */
const REFUSED: Partial<Record<PublishOutcome, string>> = {
  superseded: 'a publish was refused: another lease was given since, so that the rebuild took too long',
  unknown_lease: 'a publish was refused: the store knows nothing of its lease, and may have lost records',
  not_stored: 'a publish was not stored: its lease was given without the store, or the store did not answer',
};
const LOST: Partial<Record<LeaseEnd, string>> = {
  expired: 'a lease ran out before its holder published',
  session_lost: 'a lease ended with the session of its holder',
};

/** As OpenTelemetry names them in logs. */
function traceOf(traceparent: string): object {
  const context = readTraceparent(traceparent);
  return context === undefined ? {} : { trace_id: context.traceId, span_id: context.spanId };
}

/** Tells every listener everything that it listens to. */
export function observeWith(...observers: readonly Partial<Observer>[]): Observer {
  return {
    answered: toAll(observers, 'answered'),
    waited: toAll(observers, 'waited'),
    published: toAll(observers, 'published'),
    leaseEnded: toAll(observers, 'leaseEnded'),
    saved: toAll(observers, 'saved'),
    degraded: toAll(observers, 'degraded'),
  };
}

type Told = (a: unknown, b: unknown, c: unknown, d: unknown) => void;

/** Named arguments instead of a rest: this is on the way of every hit. */
function toAll<Name extends keyof Observer>(
  observers: readonly Partial<Observer>[],
  name: Name,
): Observer[Name] {
  const all = observers.flatMap((observer) => observer[name]?.bind(observer) ?? []) as unknown as Told[];
  const [only] = all;
  if (all.length === 1 && only !== undefined) return only as unknown as Observer[Name];
  const told: Told = (a, b, c, d) => {
    for (const tell of all) tell(a, b, c, d);
  };
  return told as unknown as Observer[Name];
}
