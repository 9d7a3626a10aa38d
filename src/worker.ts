import { hostname } from 'node:os';
import { type App, startApp } from './app.js';
import { loadConfig, loadPolicies } from './config/config.js';
import { shareOfWorker } from './config/worker-share.js';
import type { PagesPart } from './edges.js';
import { fail, failByFaults, failIfNotStopped } from './fatal.js';
import { attributesOfWorker } from './telemetry/service-resource.js';
import { type Channel, MainLink } from './workers/main-link.js';

// One worker: a replica whose connections and pages are the main process's. It is started by it, and ends with it.

const number = Number(process.argv[2]);
let app: App | undefined;
let part: PagesPart | undefined;
let stopping = false;

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
  reload: () => void app?.reload(() => loadPolicies(process.env)),
  stop: () => void stop().catch((error) => fail('cannot stop', error)),
  // Without the main process, nothing would accept connections for it, end it or restart it.
  orphaned: () => fail('ended', 'its main process is gone'),
});
link.answerBy((what) => {
  if (what === 'metrics') return part?.scrape();
  return what === 'console' ? part?.consoleState() : part?.started();
});

try {
  const instance = `${hostname()}-${process.ppid}`;
  process.env.OTEL_RESOURCE_ATTRIBUTES = attributesOfWorker(
    process.env.OTEL_RESOURCE_ATTRIBUTES,
    instance,
    number,
  );
  const config = shareOfWorker(loadConfig(process.env), number);
  app = await startApp(config, {
    connections: {
      addresses: config.grpcListen,
      passTo: (take) => link.passTo(take),
      enough: () => link.enough(),
    },
    serves: (pages) => {
      part = pages;
    },
  });
  link.serving();
} catch (error) {
  fail('cannot start', error);
}
