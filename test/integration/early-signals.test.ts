import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LOG } from '../../src/telemetry/log-texts.js';
import { oneProcess } from '../support/one-process.js';
import { ownAddress } from '../support/real-jaeger.js';

// Signals that come while a process starts. Its Redis servers accept connections and never answer.

const folder = mkdtempSync(join(tmpdir(), 'dibs-early-'));
/** The first contact may take 10 s. */
const END_MS_MAX = 8_000;
let silent: Server;
beforeAll(async () => {
  silent = createServer(() => {}).unref();
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  silent.close();
  rmSync(folder, { recursive: true });
});

/** A process that waits for its first contact. */
async function starting(env: Readonly<Record<string, string>> = {}) {
  const http = `${ownAddress()}:9464`;
  const address = silent.address() as { readonly port: number };
  const process = oneProcess({
    DIBS_QUORUM_NODES: [1, 2, 3].map((at) => `redis://127.0.0.${at}:${address.port}`).join(','),
    DIBS_STORE_URL: `redis://127.0.0.1:${address.port}`,
    DIBS_HTTP_LISTEN: http,
    ...env,
  });
  const page = () => fetch(`http://${http}/healthz`).then(({ status }) => status, String);
  await expect.poll(page).toBe(200);
  return process;
}

describe.each([1, 2])('a process that starts with DIBS_WORKERS=%s', (workers) => {
  const env = { DIBS_WORKERS: String(workers) };

  it.each(['SIGTERM', 'SIGINT'] as const)('ends on %s at once, with code 0', async (signal) => {
    const { child, output, ended } = await starting(env);
    const sinceMs = performance.now();
    child.kill(signal);
    expect(await ended).toBe(0);
    expect(performance.now() - sinceMs).toBeLessThan(END_MS_MAX);
    expect(output.stdout).toBe('');
    expect(output.stderr).not.toMatch('"level":"fatal"');
  });

  it('reloads on SIGHUP as soon as it serves', async () => {
    const file = join(folder, 'policies.yaml');
    writeFileSync(file, 'namespaces: {}');
    const { child, output, ended } = await starting({ ...env, DIBS_CONFIG: file });
    if (workers > 1) {
      // Until its workers have read the file.
      await expect.poll(() => output.stderr.match(/lock node/g)?.length).toBeGreaterThan(5);
    }
    writeFileSync(file, 'namespaces: { one: {}, two: {} }');
    child.kill('SIGHUP');
    await expect.poll(() => output.stdout, { timeout: 60_000 }).toMatch('dibs listening');
    const reloaded = () =>
      output.stderr
        .split('\n')
        .filter((line) => line.includes(LOG.policiesReloaded) && line.includes('"namespaces":2'));
    await expect.poll(reloaded).toHaveLength(workers);
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
  });
});

it.each(['main', 'worker'])('%s.js has handlers for signals before it loads the rest', (name) => {
  const imported = (file: string) =>
    [...readFileSync(`dist/${file}`, 'utf8').matchAll(/^import .*'(.+)';$/gm)].map(([, from]) => from);
  const own = name === 'worker' ? ['./workers/main-link.js'] : [];
  expect(imported(`${name}.js`).filter((from) => !from?.startsWith('node:'))).toEqual([
    './fatal.js',
    './reload-requests.js',
    ...own,
  ]);
  expect(imported('fatal.js')).toEqual(['./config/faults.js']);
  expect(imported('config/faults.js')).toEqual([]);
});
