import type { Clock } from '../coordination/ports/clock.js';
import type { Logger, LogLevel } from './logger.js';

const WINDOW_MS = 10_000;
/**
 * Callers choose namespaces freely. Beyond this many at a time, all other namespaces of an identity share a bound. There
 * are as many identities as DIBS_AUTH_FILE names.
 */
const NAMESPACES_MAX = 1_000;
const OTHERS = Symbol('other namespaces');
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

/** The windows of one message, if it has an identity only of this one. */
class Windows {
  readonly #byNamespace = new Map<unknown, Window>();
  /** How many lines were omitted in windows that are gone. No line has told it yet. */
  #untold = 0;

  /** Undefined if the line is omitted, else the number of omitted lines that it tells. */
  admit(namespace: unknown, nowMs: number): number | undefined {
    const at = this.#placeOf(namespace, nowMs);
    const window = this.#byNamespace.get(at);
    if (window === undefined || nowMs - window.sinceMs >= WINDOW_MS) {
      const suppressed = this.#untold + (window?.suppressed ?? 0);
      this.#untold = 0;
      this.#byNamespace.set(at, { sinceMs: nowMs, written: 1, suppressed: 0 });
      return suppressed;
    }
    if (window.written >= LINES_PER_WINDOW) {
      window.suppressed += 1;
      return undefined;
    }
    window.written += 1;
    return 0;
  }

  #placeOf(namespace: unknown, nowMs: number): unknown {
    if (this.#byNamespace.has(namespace)) return namespace;
    if (this.#byNamespace.size >= NAMESPACES_MAX) this.#removeOld(nowMs);
    return this.#byNamespace.size < NAMESPACES_MAX ? namespace : OTHERS;
  }

  #removeOld(nowMs: number): void {
    for (const [namespace, { sinceMs, suppressed }] of this.#byNamespace) {
      if (nowMs - sinceMs < WINDOW_MS) continue;
      this.#untold += suppressed;
      this.#byNamespace.delete(namespace);
    }
  }
}

/**
 * The same log with a bound on repetition, because a fault may repeat ten thousand times a second. The first line of
 * the next window counts the omitted ones (`suppressed`).
 */
export function rateLimited(log: Logger, clock: Pick<Clock, 'nowMs'>): Logger {
  const all = new Map<string, Windows>();
  const windowsOf = ({ identity }: Audited, message: string) => {
    const name = identity === undefined ? message : JSON.stringify([message, identity]);
    const known = all.get(name) ?? new Windows();
    all.set(name, known);
    return known;
  };
  const limited = (level: 'info' | 'warn' | 'error') => (fields: Audited, message: string) => {
    if (!log.isLevelEnabled(level)) return;
    if (fields.all === true) {
      log[level](fields, message);
      return;
    }
    const namespace = fields.identity === undefined ? undefined : fields.namespace;
    const suppressed = windowsOf(fields, message).admit(namespace, clock.nowMs());
    if (suppressed === undefined) return;
    log[level](suppressed === 0 ? fields : { ...fields, suppressed }, message);
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
