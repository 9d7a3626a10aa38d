import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findGoProgram } from '../../.ci/go-programs.mjs';
import { Fleet } from '../support/fleet.js';
import { Pods } from '../support/pods.js';
import { type JaegerSpan, type JaegerTrace, ownAddress, RealJaeger, tagsOf } from '../support/real-jaeger.js';

// Follows the pages about tracing literally, with a real Jaeger: from `helm install` to the first traced stampede, and
// how to follow one wait. Clicks on Jaeger's pages are requests to its API. This machine stands in for the cluster.

const STEP_MS_MAX = 300_000;
const TRACES_ARRIVE_MS_MAX = 30_000;
const run = promisify(execFile);

async function programs(): Promise<{ readonly helm: string; readonly jaeger: string } | undefined> {
  try {
    if (spawnSync('redis-server', ['--version']).status !== 0) throw new Error('redis-server is missing');
    const root = process.cwd();
    return { jaeger: await findGoProgram(root, 'jaeger'), helm: await findGoProgram(root, 'helm') };
  } catch (error) {
    if (process.env.CI === 'true') throw error;
    console.warn(`SKIPPED, a real Jaeger: ${(error as Error).message}`);
    return undefined;
  }
}

const found = await programs();

/** Returns the command blocks of a page. */
function blocksOf(page: string): string[] {
  const blocks = readFileSync(`deploy/operations/${page}.md`, 'utf8').matchAll(
    /^( *)```sh\n([\s\S]*?)^\1```$/gm,
  );
  return [...blocks].map(([, indent = '', text = '']) => text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''));
}

/** Returns the output of a shell that gets only PATH and HOME of this process. */
async function shell(text: string): Promise<string> {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME };
  return (await run('sh', ['-ec', text], { env, timeout: STEP_MS_MAX })).stdout;
}

/** Returns the `dibs.wait` of a trace, and the trace to which its link leads. */
async function followed(jaeger: RealJaeger, { traceID }: JaegerTrace) {
  const { spans } = await jaeger.trace(traceID);
  const wait = spans.find(({ operationName }) => operationName === 'dibs.wait') as JaegerSpan;
  const [link, ...more] = wait.references.filter(({ refType }) => refType === 'FOLLOWS_FROM');
  expect(more).toEqual([]);
  const trace = await jaeger.trace(link?.traceID ?? '');
  const opened = trace.spans.find(({ spanID }) => spanID === link?.spanID);
  return { wait, opened: opened as JaegerSpan, trace };
}

/**
 * Expects that no span seems to begin before its cause. A read serves the whole room and can outlast the call that
 * shows it, so Jaeger may suspect a clock difference there.
 */
function expectNoWarnings(traces: readonly JaegerTrace[]): void {
  const spans = traces.flatMap((trace) => trace.spans);
  const warned = spans.filter(({ warnings }) => (warnings ?? []).length > 0);
  expect(warned.filter(({ operationName }) => operationName !== 'dibs.look')).toEqual([]);
}

describe.skipIf(found === undefined)('a real Jaeger', () => {
  const closing: (() => Promise<unknown>)[] = [];
  let jaeger: RealJaeger;
  beforeAll(async () => {
    jaeger = await RealJaeger.start(found?.jaeger ?? '', ownAddress());
    closing.push(() => jaeger.stop());
  }, STEP_MS_MAX);
  afterAll(async () => {
    for (const close of closing.reverse()) await close();
  });

  it(
    'shows the first stampede after `helm install`, with the steps of its page',
    async () => {
      const [image, collector, install, forward, stampede, ...more] = blocksOf('first-stampede') as [
        ...[string, string, string, string, string],
        ...string[],
      ];
      expect(more).toEqual([]);
      const beganMs = performance.now();

      // Processes of this machine stand in for the image.
      expect(image).toMatch(/^kind create cluster\ndocker build .*\nkind load docker-image dibs:0\.1\.0\n$/);

      const [, namespace] = /^kubectl create namespace (\S+)$/m.exec(collector) ?? [];
      expect(collector).toMatch(`kubectl --namespace ${namespace} create deployment jaeger --image=jaeger`);
      const [, service, port] = /expose deployment (\S+) --port=(\d+)$/m.exec(collector) ?? [];
      const services = { [`${service}.${namespace}:${port}`]: `${jaeger.host}:${port}` };

      const literals = [...install.matchAll(/--from-literal=([\w-]+)=("\$\(.*?\)")/g)];
      const secret: Record<string, string> = {};
      for (const [, key = '', made] of literals) secret[key] = await shell(`printf %s ${made}`);
      const [, options] = /^helm install (dibs [\s\S]*?[^\\])\n/m.exec(install) ?? [];
      const rendered = await shell(`${found?.helm} template ${options}`);
      const pods = await Pods.start(rendered, { 'dibs-redis': secret }, services);
      closing.push(() => pods.stop());
      const [, ready] = /status\.readyReplicas\}'=(\d+)/.exec(install) ?? [];
      expect(pods.replicas).toHaveLength(Number(ready));

      const [, first] = /^port=(\d+)$/m.exec(forward) ?? [];
      expect(forward).toMatch(/port-forward "\$pod" "\$port:50051" &/);
      const text = pods.replicas.reduce(
        (so, { target }, at) => so.replace(`127.0.0.1:${Number(first) + at}`, target),
        stampede.replace('npm ci && npm run build\n', ''),
      );
      expect(await shell(text)).toBe('11 callers, 1 rebuild\n');

      const waits = async () => (await jaeger.search('dibs', 'dibs.wait')).length;
      await expect.poll(waits, { timeout: TRACES_ARRIVE_MS_MAX, interval: 500 }).toBe(10);
      console.log(`to the first stampede traced: ${Math.round((performance.now() - beganMs) / 1_000)} s`);
      expect(await jaeger.operations('dibs')).toContain('dibs.wait');
      const traces = await jaeger.search('dibs', 'dibs.wait');
      expectNoWarnings(traces);
      const rebuilds = new Set<string>();
      for (const trace of traces) {
        const { wait, opened } = await followed(jaeger, trace);
        expect(tagsOf(wait)).toMatchObject({ 'dibs.wait.ended_by': 'publish' });
        expect(tagsOf(opened)).toMatchObject({ 'dibs.outcome': 'stored' });
        expect(opened.operationName).toBe('dibs.lease');
        expect(opened.duration).toBeGreaterThan(1_900_000);
        rebuilds.add(opened.spanID);
      }
      expect(rebuilds.size).toBe(1);
    },
    STEP_MS_MAX,
  );

  it(
    'follows one wait from replica to replica, with the steps of the tracing page',
    async () => {
      const fleet = await Fleet.start({
        replicas: 2,
        env: {
          // As in the compose file.
          OTEL_SERVICE_NAME: 'dibs-followed',
          OTEL_EXPORTER_OTLP_ENDPOINT: `http://${jaeger.host}:4317`,
          OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
          OTEL_METRICS_EXPORTER: 'none',
          OTEL_TRACES_SAMPLER: 'parentbased_always_on',
        },
      });
      closing.push(() => fleet.stop());
      const [lease = '', wait = '', publish = ''] = blocksOf('tracing')
        .filter((text) => text.includes('buf curl'))
        .map((text) =>
          fleet.replicas.reduce((so, { target }, at) => so.replace(`127.0.0.1:${50051 + at}`, target), text),
        );
      const got = JSON.parse(await shell(lease));
      const waiting = shell(wait);
      await shell(publish.replace('TOKEN', got.lease.token));
      expect(JSON.parse(await waiting)).toMatchObject({ hit: { value: 'QWRh' } });

      const search = () => jaeger.search('dibs-followed', 'dibs.wait');
      await expect
        .poll(async () => (await search()).length, { timeout: TRACES_ARRIVE_MS_MAX, interval: 500 })
        .toBe(1);
      const traces = await search();
      expectNoWarnings(traces);
      const { wait: span, opened, trace } = await followed(jaeger, traces[0] as JaegerTrace);
      expect(opened.operationName).toBe('dibs.lease');
      expect(trace.traceID).not.toBe(span.traceID);
      const [waited, held] = [tagsOf(span), tagsOf(opened)];
      expect(held).toMatchObject({ 'dibs.outcome': 'stored', 'dibs.served_here': 0 });
      expect(waited['dibs.fence']).toBe(held['dibs.fence']);
      expect(waited).toHaveProperty(['dibs.lease.holder']);
      expectNoWarnings([trace]);
    },
    STEP_MS_MAX,
  );
});
