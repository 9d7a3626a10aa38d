import { type DestinationStream, destination, pino } from 'pino';
import type { Observer } from '../coordination/observer.js';
import type { Degraded } from '../coordination/outcome.js';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

/** As much of pino as the composition root needs; fields first, for a machine, then words, for a person. */
export interface Logger {
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

/** One line a decision, at `debug`; and one for each step on the ladder of degradation, where all see it. */
export function decisionLog(log: Logger): Observer {
  let mode: Degraded = 'none';
  return {
    answered: (namespace, outcome, degraded) =>
      log.debug({ namespace, outcome, degraded }, 'GetOrLock answered'),
    waited: (namespace, endedBy, waitedMs) => log.debug({ namespace, endedBy, waitedMs }, 'a wait ended'),
    published: (namespace, outcome, rebuildMs) =>
      log.debug({ namespace, outcome, rebuildMs }, 'Publish answered'),
    leaseEnded: (namespace, end, heldMs) => log.debug({ namespace, end, heldMs }, 'a lease ended'),
    saved() {},
    degraded(now) {
      if (now === mode) return;
      const fields = { from: mode, to: now };
      mode = now;
      if (now === 'none') log.info(fields, 'quorum and store work again');
      else log.warn(fields, 'decisions are made without a part of the fleet');
    },
  };
}

/** Tells every listener everything. */
export function observeWith(...observers: readonly Observer[]): Observer {
  return {
    answered: (...told) => {
      for (const observer of observers) observer.answered(...told);
    },
    waited: (...told) => {
      for (const observer of observers) observer.waited(...told);
    },
    published: (...told) => {
      for (const observer of observers) observer.published(...told);
    },
    leaseEnded: (...told) => {
      for (const observer of observers) observer.leaseEnded(...told);
    },
    saved: (...told) => {
      for (const observer of observers) observer.saved(...told);
    },
    degraded: (...told) => {
      for (const observer of observers) observer.degraded(...told);
    },
  };
}
