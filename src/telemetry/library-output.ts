import { LOG } from './log-texts.js';
import type { Logger } from './logger.js';

/** Warnings whose texts are written by Node itself. Others may quote what their library was given. */
const OF_NODE = new Set(['DeprecationWarning', 'ExperimentalWarning', 'MaxListenersExceededWarning']);
const STDERR_WRITERS = ['error', 'warn', 'trace'] as const;

/**
 * Sends what libraries print to standard error through the log: it has JSON lines only, at the configured level. Their
 * texts may quote a password, a token or a value, so only the texts of an allow-list are logged. Returns how to end it.
 */
export function logLibraryOutput(log: Pick<Logger, 'warn'>): () => void {
  const printers = process.listeners('warning');
  const warned = (warning: Error) => {
    const { name, message } = warning;
    log.warn({ name, ...(OF_NODE.has(name) ? { message } : {}) }, LOG.libraryWarned);
  };
  process.removeAllListeners('warning').on('warning', warned);
  const printing = globalThis.console;
  const consoles = STDERR_WRITERS.map((name) => {
    const before = printing[name];
    // A library names itself in brackets, as in "[ioredis] Unhandled error event".
    printing[name] = (text: unknown) =>
      log.warn({ name: /^\[[\w./@-]{1,40}\]/.exec(String(text))?.[0] ?? 'unknown' }, LOG.libraryWarned);
    return () => {
      printing[name] = before;
    };
  });
  return () => {
    process.off('warning', warned);
    for (const printer of printers) process.on('warning', printer);
    for (const restore of consoles) restore();
  };
}
