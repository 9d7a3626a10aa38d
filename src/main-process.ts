import type { App } from './app.js';
import { type Config, modeOf } from './config/config.js';
import { shareOfWorker } from './config/worker-share.js';
import { accessOf, bindPages, SHOWN_MAX, sharesOf, watchesOf } from './edges.js';
import type { ConsoleState } from './http/console-state.js';
import { wholeConsole } from './http/whole-console.js';
import { SystemClock } from './system-clock.js';
import { logLibraryOutput } from './telemetry/library-output.js';
import { rateLimited } from './telemetry/log-rate.js';
import { LOG } from './telemetry/log-texts.js';
import type { Logger } from './telemetry/logger.js';
import { createLogger } from './telemetry/logger.js';
import { Metrics } from './telemetry/metrics.js';
import { NamespaceSeries } from './telemetry/namespace-series.js';
import { otlpMetricReader, tellProblems } from './telemetry/open-telemetry.js';
import { WholeMetrics } from './telemetry/whole-metrics.js';
import { Listeners } from './workers/listeners.js';
import { WorkerPool } from './workers/worker-pool.js';

/** A worker that is busier than this is left out of a scrape. Prometheus waits for 10 s by default. */
const SCRAPE_MS_MAX = 5_000;
/** Less than the second between two states. */
const CONSOLE_MS_MAX = 500;
/** Less than a probe waits by default. */
const STARTED_MS_MAX = 500;
/** Below the bound of the whole stop, and above that of a worker's parts. */
const STOP_MS_MAX = 19_000;

/** Several replicas, each in its own process, with one address and one set of pages. */
export async function startWorkers(
  config: Config,
): Promise<Pick<App, 'grpcAddresses' | 'httpAddress' | 'mode' | 'reload' | 'stop'>> {
  const clock = new SystemClock();
  const log = rateLimited(createLogger(config.logLevel), clock);
  const endLibraryOutput = logLibraryOutput(log);
  const access = accessOf(config, clock, log);
  const series = new NamespaceSeries(clock);
  const { metrics: sent } = config.otel;
  if (sent !== undefined) tellProblems(log);
  const metrics = new Metrics(series, sent && [await otlpMetricReader(sent, series)]);
  const pool = new WorkerPool({ workers: config.workers, observer: observerOf(log) });
  metrics.watchWorkers({
    serving: () => pool.serving,
    missing: () => pool.size - pool.serving,
    restarts: () => pool.restarts,
  });
  let listeners: Listeners | undefined;
  let draining = false;
  const isReady = () => listeners !== undefined && !draining && pool.serving > 0;
  const { connectionsMax, connectionRefused } = sharesOf(config, log, metrics).http;
  const http = await bindPages(config, {
    access,
    clock,
    connectionsMax,
    connectionRefused,
    ready: isReady,
    started: startedOf(pool, isReady),
    scrape: scrapeOf(pool, metrics),
    consoleState: async () => {
      if (listeners === undefined) return undefined;
      return stateOf(pool, { grpc: listeners.addresses, draining: !isReady() });
    },
  });
  const watches = watchesOf(config, [http], access, { log, metrics });
  const close = async () => {
    for (const watch of watches) watch.stop();
    listeners?.close();
    await http.stop();
    await metrics.stop();
    endLibraryOutput();
  };
  tellShares(config, log);
  // A signal may end this process now. Workers that are still starting would report that they lost it.
  const killAll = () => pool.kill();
  process.once('exit', killAll);
  try {
    await pool.start();
    listeners = await Listeners.open(config.grpcListen, (socket, address) => pool.pass(socket, address));
  } catch (error) {
    await pool.stop(0);
    await close();
    throw error;
  } finally {
    process.off('exit', killAll);
  }
  const stop = async () => {
    draining = true;
    const failed = await pool.stop(STOP_MS_MAX, () => listeners?.close());
    await close();
    if (failed.length > 0) throw new Error(`workers that did not end by themselves: ${failed.join(', ')}`);
  };
  let stopped: Promise<void> | undefined;
  return {
    grpcAddresses: listeners.addresses,
    httpAddress: http.address,
    mode: modeOf(config),
    reload: async () => {
      pool.reload();
      await Promise.all(watches.map((watch) => watch.check()));
    },
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

function observerOf(log: Logger) {
  return {
    ended: (worker: number, end: object, pauseMs: number) =>
      log.error({ worker, ...end, pauseMs }, LOG.workerEnded),
    servesAgain: (worker: number) => log.info({ worker }, LOG.workerServes),
    silent: (worker: number) => log.error({ worker }, LOG.workerSilent),
  };
}

/** What each worker may take, because the variables are bounds of all of them together. */
function tellShares(config: Config, log: Logger): void {
  const { limits, connectionsMax, unsentBytesMax, nearCacheBytes } = shareOfWorker(config, 1);
  const { waitersMax, waitersPerKeyMax } = limits;
  const each = { connectionsMax, waitersMax, waitersPerKeyMax, nearCacheBytes, unsentBytesMax };
  log.info({ workers: config.workers, each }, LOG.workersShare);
}

/** Once one has reached the fleet, as all of them have the same addresses. */
function startedOf(pool: WorkerPool, isReady: () => boolean): () => Promise<boolean> {
  let was = false;
  return async () => {
    if (was || !isReady()) return was;
    const answers = await pool.askAll('started', STARTED_MS_MAX);
    was ||= answers.some(({ answer }) => answer === true);
    return was;
  };
}

function scrapeOf(pool: WorkerPool, metrics: Metrics): () => Promise<string> {
  const whole = new WholeMetrics();
  return async () => {
    const answers = await pool.askAll('metrics', SCRAPE_MS_MAX);
    return whole.merged([
      ...answers.map(({ worker, run, answer }) => ({
        name: `worker ${worker}`,
        run,
        text: answer === undefined ? undefined : String(answer),
      })),
      { name: 'main', run: 1, text: await metrics.scrape() },
    ]);
  };
}

async function stateOf(
  pool: WorkerPool,
  own: { readonly grpc: readonly string[]; readonly draining: boolean },
): Promise<ConsoleState | undefined> {
  const answers = await pool.askAll('console', CONSOLE_MS_MAX);
  const [first, ...others] = answers.flatMap(({ answer }) =>
    answer === undefined ? [] : [answer as ConsoleState],
  );
  if (first === undefined) return undefined;
  const workers = { serving: pool.serving, of: pool.size };
  const ours = { pid: process.pid, uptimeMs: process.uptime() * 1_000 };
  return wholeConsole([first, ...others], { ...own, ...ours, workers }, SHOWN_MAX);
}
