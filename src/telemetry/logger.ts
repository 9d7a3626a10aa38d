import { type DestinationStream, pino } from 'pino';
import type { NotStored, Observer } from '../coordination/ports/observer.js';
import type { Degraded, LeaseEnd, PublishOutcome, UndecidedBy } from '../coordination/words/outcome.js';
import { standardError } from './log-output.js';
import { LOG } from './log-texts.js';
import type { Reasons } from './reasons.js';
import { shownError } from './shown-error.js';
import { readTraceparent } from './traceparent.js';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** The part of pino that the composition root needs: fields for machines first, then a message for people. */
export interface Logger {
  isLevelEnabled(level: LogLevel): boolean;
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/**
 * Writes JSON lines to standard error, the last ones as the process ends. Each line of a worker says which one it is.
 */
export function createLogger(level: LogLevel, stream?: DestinationStream, worker?: number): Logger {
  const timestamp = () => `,"time":"${new Date().toISOString()}"`;
  const formatters = { level: (label: string) => ({ level: label }) };
  const base = worker === undefined ? null : { worker };
  const lostLine = (lost: number) => {
    const time = new Date().toISOString();
    return `${JSON.stringify({ level: 'warn', time, ...base, lost, msg: LOG.linesLost })}\n`;
  };
  const options = { level, base, timestamp, formatters, serializers: { err: shownError } };
  return pino(options, stream ?? standardError(lostLine));
}

/**
 * Logs what operators ask about: each change of degradation, each lost lease, each refused publish. All other
 * decisions are logged at `debug`. Never a key, a token or a value.
 */
export function decisionLog(log: Logger, reasons: Pick<Reasons, 'of'>): Partial<Observer> {
  let mode: Degraded = 'none';
  let lost = '';
  return {
    // Decided once, so that hits cost nothing extra without debug logging.
    ...(log.isLevelEnabled('debug') ? debugLog(log) : {}),
    published: (namespace, outcome, rebuildMs, traceparent, notStored) => {
      const { cause, ...known } = notStored ?? {};
      const fields = { namespace, outcome, rebuildMs, ...known, ...traceOf(traceparent) };
      const line = cause === undefined ? REFUSED[outcome] : NOT_STORED[cause];
      if (line === undefined) log.debug(fields, 'publish answered');
      else log.warn(fields, line);
    },
    publishUnanswered: (namespace, waitedMs, traceparent) => {
      log.warn({ namespace, waitedMs, ...traceOf(traceparent) }, LOG.publishUnanswered);
    },
    leaseEnded: (namespace, end, heldMs, traceparent) => {
      const fields = { namespace, end, heldMs, ...traceOf(traceparent) };
      const why = LOST[end];
      if (why === undefined) log.debug(fields, 'lease ended');
      else log.warn(fields, why);
    },
    degraded(now, groups) {
      if (now === mode && groups.join() === lost) return;
      // Which groups of lock nodes are lost; absent if there is only one group.
      const fields = { from: mode, to: now, ...(groups.length === 0 ? {} : { groups }) };
      mode = now;
      lost = groups.join();
      if (now === 'none') log.info(fields, LOG.recovered);
      else log.warn({ ...fields, why: reasons.of(now) }, LOG.degraded);
    },
    storeLate(late, sinceMs) {
      if (late) log.warn({ sinceMs }, LOG.storeLate);
      else log.info({ sinceMs }, LOG.storeInTime);
    },
    undecided(lasts, sinceMs, by) {
      if (lasts) log.warn({ sinceMs, why: by && UNDECIDED[by] }, LOG.undecided);
      else log.info({ sinceMs }, LOG.decided);
    },
  };
}

function debugLog(log: Logger): Partial<Observer> {
  return {
    answered: (namespace, outcome, degraded) =>
      log.debug({ namespace, outcome, degraded }, 'get-or-lock answered'),
    waited: (namespace, endedBy, waitedMs) => log.debug({ namespace, endedBy, waitedMs }, 'wait ended'),
  };
}

/** `invalidated` is missing on purpose: refusing an older rebuild is what an invalidation is for. */
const REFUSED: Partial<Record<PublishOutcome, string>> = {
  superseded: LOG.publishSuperseded,
  unknown_lease: LOG.publishUnknownLease,
};
const NOT_STORED: Record<NotStored['cause'], string> = {
  lease: LOG.publishWithoutStore,
  store: LOG.publishRefusedByStore,
  reply: LOG.publishReplyLost,
};
/** What happened at the last attempt, and what to check. */
const UNDECIDED: Record<UndecidedBy, string> = {
  votes: 'the votes of the lock nodes had no winner; is each lock node a separate Redis?',
  unknown_lock:
    'the lock nodes hold a lock that the store has no lease for; do other replicas use these lock nodes with another store?',
  late_nodes: 'too few lock nodes answered in time; check their machines and the network',
  late_store: 'the store has not replied yet; check its machine and the network',
  other_lock_nodes:
    'the last lease was granted by other lock nodes, or without any, and may have been extended; do all replicas have the same DIBS_QUORUM_NODES?',
  lease_over:
    'each lease had ended before its caller could get it; check the lock nodes, the store and the network',
};
const LOST: Partial<Record<LeaseEnd, string>> = {
  expired: LOG.leaseExpired,
  session_lost: LOG.leaseLostWithSession,
};

/** The names that OpenTelemetry uses in logs. */
function traceOf(traceparent: string): object {
  const context = readTraceparent(traceparent);
  return context === undefined ? {} : { trace_id: context.traceId, span_id: context.spanId };
}

/** Passes each event to all observers that handle it. */
export function observeWith(...observers: readonly Partial<Observer>[]): Observer {
  return {
    answered: toAll(observers, 'answered'),
    waited: toAll(observers, 'waited'),
    published: toAll(observers, 'published'),
    leaseEnded: toAll(observers, 'leaseEnded'),
    saved: toAll(observers, 'saved'),
    degraded: toAll(observers, 'degraded'),
    storeLate: toAll(observers, 'storeLate'),
    storeStep: toAll(observers, 'storeStep'),
    undecided: toAll(observers, 'undecided'),
    publishUnanswered: toAll(observers, 'publishUnanswered'),
  };
}

type Told = (a: unknown, b: unknown, c: unknown, d: unknown, e: unknown) => void;

/** Named arguments instead of a rest parameter, because every hit calls this. */
function toAll<Name extends keyof Observer>(
  observers: readonly Partial<Observer>[],
  name: Name,
): Observer[Name] {
  const all = observers.flatMap((observer) => observer[name]?.bind(observer) ?? []) as unknown as Told[];
  const [only] = all;
  if (all.length === 1 && only !== undefined) return only as unknown as Observer[Name];
  const told: Told = (a, b, c, d, e) => {
    for (const tell of all) tell(a, b, c, d, e);
  };
  return told as unknown as Observer[Name];
}
