import { constants } from 'node:os';
import { type App, startApp } from './app.js';
import { loadConfig } from './config/config.js';

let app: App | undefined;
let stopping = false;

async function stop(signal: NodeJS.Signals): Promise<void> {
  // A second signal ends the process at once. Before the start is complete, there are no callers to drain.
  if (stopping || app === undefined) process.exit(stopping ? 128 + constants.signals[signal] : 0);
  stopping = true;
  await app.stop();
  process.exit(0);
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    stop(signal).catch(fail);
  });
}

// Only policies, the certificate and permissions can change in a running process.
process.on('SIGHUP', () => void app?.reload(() => loadConfig(process.env)));

function fail(error: unknown): never {
  process.stderr.write(`dibs: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}

try {
  app = await startApp(loadConfig(process.env));
  const grpc = app.grpcAddresses.join(',');
  process.stdout.write(`dibs listening grpc=${grpc} http=${app.httpAddress} mode=${app.mode}\n`);
} catch (error) {
  fail(error);
}
