import { hostname } from 'node:os';
import type { App } from './app.js';
import type { PagesPart } from './edges.js';
import { fail, failByFaults, failIfNotStopped } from './fatal.js';
import { ReloadRequests } from './reload-requests.js';
import { type Channel, MainLink } from './workers/main-link.js';

// One worker: a replica that gets its connections from the main process, which also serves its pages. The worker ends
// with the main process.

const number = Number(process.argv[2]);
let app: App | undefined;
let part: PagesPart | undefined;
let stopping = false;
const reloads = new ReloadRequests();

async function stop(): Promise<void> {
  if (stopping) return;
  stopping = true;
  failIfNotStopped();
  await app?.stop();
  process.exit(0);
}

// The main process decides when to stop. A terminal or systemd sends the signal to all processes, and the main process
// then does so too.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
failByFaults();

const link = new MainLink(process as unknown as Channel, {
  reload: () => reloads.ask(),
  stop: () => void stop().catch((error) => fail('cannot stop', error)),
  // Without the main process, nothing would accept connections for it, end it or restart it.
  orphaned: () => fail('ended', 'its main process is gone'),
});
link.answerBy((what) => {
  if (what === 'metrics') return part?.scrape();
  return what === 'console' ? part?.consoleState() : part?.started();
});

try {
  // They take a while to load, and signals need their handlers before.
  const { startApp } = await import('./app.js');
  const { loadConfig, loadPolicies } = await import('./config/config.js');
  const { shareOfWorker } = await import('./config/worker-share.js');
  const { attributesOfWorker } = await import('./telemetry/service-resource.js');
  const instance = `${hostname()}-${process.ppid}`;
  process.env.OTEL_RESOURCE_ATTRIBUTES = attributesOfWorker(
    process.env.OTEL_RESOURCE_ATTRIBUTES,
    instance,
    number,
  );
  const config = shareOfWorker(loadConfig(process.env), number);
  const started = await startApp(config, {
    connections: {
      addresses: config.grpcListen,
      passTo: (take) => link.passTo(take),
      enough: () => link.enough(),
    },
    serves: (pages) => {
      part = pages;
    },
  });
  app = started;
  reloads.answerBy(() => void started.reload(() => loadPolicies(process.env)));
  link.serving();
} catch (error) {
  fail('cannot start', error);
}
