import { constants } from 'node:os';
import type { App } from './app.js';
import { type Config, loadConfig, loadPolicies } from './config/config.js';
import { fail, failByFaults, failIfNotStopped } from './fatal.js';

type Started = Pick<App, 'grpcAddresses' | 'httpAddress' | 'mode' | 'reload' | 'stop'>;

let app: Started | undefined;
let stopping = false;

async function stop(signal: NodeJS.Signals): Promise<void> {
  // A second signal ends the process at once. Before the start is complete, there are no callers to drain.
  if (stopping || app === undefined) process.exit(stopping ? 128 + constants.signals[signal] : 0);
  stopping = true;
  failIfNotStopped();
  await app.stop();
  process.exit(0);
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    stop(signal).catch((error) => fail('cannot stop', error));
  });
}

// Only policies, the certificate and permissions can change in a running process.
process.on('SIGHUP', () => void app?.reload(() => loadPolicies(process.env)));

failByFaults();

/** This process is the replica, or with workers it starts replicas. It loads the code of one of the two. */
async function start(config: Config): Promise<Started> {
  if (config.workers > 1) return (await import('./main-process.js')).startWorkers(config);
  return (await import('./app.js')).startApp(config);
}

try {
  app = await start(loadConfig(process.env));
  const grpc = app.grpcAddresses.join(',');
  process.stdout.write(`dibs listening grpc=${grpc} http=${app.httpAddress} mode=${app.mode}\n`);
} catch (error) {
  fail('cannot start', error);
}
