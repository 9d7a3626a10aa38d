import { constants } from 'node:os';
import { type App, startApp } from './app.js';
import { loadConfig } from './config/config.js';
import { ConfigError } from './config/faults.js';

/**
 * The whole stop, below the 30 s after which orchestrators kill: 5 s for sessions, 10 s for calls, 3 s for a collector, and
 * less for the rest. Each part keeps its own bound. This one is for everything unforeseen.
 */
const STOP_MS_MAX = 20_000;

let app: App | undefined;
let stopping = false;

async function stop(signal: NodeJS.Signals): Promise<void> {
  // A second signal ends the process at once. Before the start is complete, there are no callers to drain.
  if (stopping || app === undefined) process.exit(stopping ? 128 + constants.signals[signal] : 0);
  stopping = true;
  setTimeout(() => fail('cannot stop', `not stopped within ${STOP_MS_MAX} ms`), STOP_MS_MAX).unref();
  await app.stop();
  process.exit(0);
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    stop(signal).catch((error) => fail('cannot stop', error));
  });
}

// Only policies, the certificate and permissions can change in a running process.
process.on('SIGHUP', () => void app?.reload(() => loadConfig(process.env)));

/** One JSON line like those of the log, at any level of it: nothing else says why the process ends. */
function fail(what: string, error: unknown): never {
  const isConfig = error instanceof ConfigError;
  const why = error instanceof Error ? error.message : String(error);
  const line = {
    level: 'fatal',
    time: new Date().toISOString(),
    ...(isConfig ? { faults: error.faults } : {}),
    msg: `${what}: ${isConfig ? 'the configuration has faults' : why}`,
  };
  process.stderr.write(`${JSON.stringify(line)}\n`);
  process.exit(1);
}

process.on('uncaughtException', (error) => {
  const at = error instanceof Error ? (error.stack ?? '').replace(/^.*?\n/, '') : '';
  fail('ended by a fault of its own', `${error instanceof Error ? error.message : String(error)}\n${at}`);
});

try {
  app = await startApp(loadConfig(process.env));
  const grpc = app.grpcAddresses.join(',');
  process.stdout.write(`dibs listening grpc=${grpc} http=${app.httpAddress} mode=${app.mode}\n`);
} catch (error) {
  fail('cannot start', error);
}
