import type { Clock } from '../coordination/ports/clock.js';
import type { Logger, LogLevel } from './logger.js';

const WINDOW_MS = 10_000;
/** Lines of one message per window: enough to diagnose a fault, too few to fill a disk. */
const LINES_PER_WINDOW = 10;

interface Window {
  readonly sinceMs: number;
  written: number;
  suppressed: number;
}

/**
 * The same log with a bound on repetition, because a fault may repeat ten thousand times a second. The first line of
 * the next window counts the omitted ones (`suppressed`).
 */
export function rateLimited(log: Logger, clock: Pick<Clock, 'nowMs'>): Logger {
  const windows = new Map<string, Window>();
  const limited = (level: 'info' | 'warn' | 'error') => (fields: object, message: string) => {
    if (!log.isLevelEnabled(level)) return;
    const nowMs = clock.nowMs();
    let window = windows.get(message);
    if (window === undefined || nowMs - window.sinceMs >= WINDOW_MS) {
      const { suppressed = 0 } = window ?? {};
      window = { sinceMs: nowMs, written: 1, suppressed: 0 };
      windows.set(message, window);
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
