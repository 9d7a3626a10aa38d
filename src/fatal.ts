import { ConfigError } from './config/faults.js';

/** One JSON line like those of the log, at any level of it: nothing else says why the process ends. */
export function fail(what: string, error: unknown): never {
  const isConfig = error instanceof ConfigError;
  const why = error instanceof Error ? error.message : String(error);
  const line = {
    level: 'fatal',
    time: new Date().toISOString(),
    faults: isConfig ? error.faults : undefined,
    msg: `${what}: ${isConfig ? 'the configuration has faults' : why}`,
  };
  process.stderr.write(`${JSON.stringify(line)}\n`);
  process.exit(1);
}

/** An uncaught error ends the process; the log line contains its stack. */
export function failByFaults(): void {
  process.on('uncaughtException', (error) => {
    const at = error instanceof Error ? (error.stack ?? '').replace(/^.*?\n/, '') : '';
    fail('ended by a fault of its own', `${error instanceof Error ? error.message : String(error)}\n${at}`);
  });
}

/**
 * The whole stop, below the 30 s after which orchestrators kill: 5 s for sessions, 10 s for calls, 3 s for a collector, and
 * less for the rest. Each part keeps its own bound. This one is for everything unforeseen.
 */
const STOP_MS_MAX = 20_000;

/** Call it when a stop begins. */
export function failIfNotStopped(): void {
  setTimeout(() => fail('cannot stop', `not stopped within ${STOP_MS_MAX} ms`), STOP_MS_MAX).unref();
}
