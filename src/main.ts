import { constants } from 'node:os';
import type { App } from './app.js';
import type { Config } from './config/config.js';
import { fail, failByFaults, failIfNotStopped } from './fatal.js';
import { ReloadRequests } from './reload-requests.js';

// Everything else is imported below. Its code takes a while to load, and signals must have their handlers before: SIGHUP
// would end the process, and the first process of a container would never get SIGTERM.

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
const reloads = new ReloadRequests();
process.on('SIGHUP', () => reloads.ask());

failByFaults();

// ioredis would print each command with its arguments to standard error: passwords, tokens and values. Workers inherit it.
delete process.env.DEBUG;

// A full disk, or a reader that has ended, must not end the process.
process.stdout.on('error', () => {});

/** This process is the replica, or with workers it starts replicas. It loads the code of one of the two. */
async function start(config: Config): Promise<Started> {
  if (config.workers > 1) return (await import('./main-process.js')).startWorkers(config);
  return (await import('./app.js')).startApp(config);
}

try {
  const { loadConfig, loadPolicies } = await import('./config/config.js');
  const started = await start(loadConfig(process.env));
  app = started;
  reloads.answerBy(() => void started.reload(() => loadPolicies(process.env)));
  const grpc = started.grpcAddresses.join(',');
  process.stdout.write(`dibs listening grpc=${grpc} http=${started.httpAddress} mode=${started.mode}\n`);
} catch (error) {
  fail('cannot start', error);
}
