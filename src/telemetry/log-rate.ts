import type { Clock } from '../coordination/ports/clock.js';
import type { Logger, LogLevel } from './logger.js';

const WINDOW_MS = 10_000;
/**
 * Callers choose namespaces freely. Beyond this many, all namespaces of an identity share a bound. There are as many
 * identities as DIBS_AUTH_FILE names.
 */
const GROUPS_MAX = 1_000;
/** Lines of one message per window: enough to diagnose a fault, too few to fill a disk. */
const LINES_PER_WINDOW = 10;

interface Window {
  readonly sinceMs: number;
  written: number;
  suppressed: number;
}

/**
 * The bound of audit lines. Each identity has its own in each namespace, so no identity can hide what it
 * does, or what others do, behind a flood of lines. Invalidations of a whole namespace are never omitted.
 */
interface Audited {
  readonly identity?: unknown;
  readonly namespace?: unknown;
  readonly all?: unknown;
}

/**
 * The same log with a bound on repetition, because a fault may repeat ten thousand times a second. The first line of
 * the next window counts the omitted ones (`suppressed`).
 */
export function rateLimited(log: Logger, clock: Pick<Clock, 'nowMs'>): Logger {
  const windows = new Map<string, Window>();
  const groupOf = (fields: Audited, message: string, nowMs: number) => {
    if (fields.identity === undefined) return message;
    const group = JSON.stringify([message, fields.identity, fields.namespace]);
    if (windows.size >= GROUPS_MAX && !windows.has(group)) removeOld(windows, nowMs);
    if (windows.size < GROUPS_MAX || windows.has(group)) return group;
    return JSON.stringify([message, fields.identity]);
  };
  const limited = (level: 'info' | 'warn' | 'error') => (fields: Audited, message: string) => {
    if (!log.isLevelEnabled(level)) return;
    if (fields.all === true) {
      log[level](fields, message);
      return;
    }
    const nowMs = clock.nowMs();
    const group = groupOf(fields, message, nowMs);
    let window = windows.get(group);
    if (window === undefined || nowMs - window.sinceMs >= WINDOW_MS) {
      const { suppressed = 0 } = window ?? {};
      window = { sinceMs: nowMs, written: 1, suppressed: 0 };
      windows.set(group, window);
      log[level](suppressed === 0 ? fields : { ...fields, suppressed }, message);
    } else if (window.written < LINES_PER_WINDOW) {
      window.written += 1;
      log[level](fields, message);
    } else window.suppressed += 1;
  };
  return {
    isLevelEnabled: (level: LogLevel) => log.isLevelEnabled(level),
    // At `debug`, every line is wanted.
    debug: (fields, message) => log.debug(fields, message),
    info: limited('info'),
    warn: limited('warn'),
    error: limited('error'),
  };
}

/** A window that omitted lines stays until its next line has reported how many. */
function removeOld(windows: Map<string, Window>, nowMs: number): void {
  for (const [group, { sinceMs, suppressed }] of windows) {
    if (suppressed === 0 && nowMs - sinceMs >= WINDOW_MS) windows.delete(group);
  }
}
