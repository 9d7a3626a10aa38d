import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { LOG } from '../../../src/telemetry/log-texts.js';
import { type OneProcess, oneProcess } from '../../support/one-process.js';

const folder = mkdtempSync(join(tmpdir(), 'dibs-set-up-'));
afterAll(() => rmSync(folder, { recursive: true }));
const processes: OneProcess[] = [];
afterEach(() => {
  for (const { child } of processes.splice(0)) child.kill('SIGKILL');
});

function start(env: Readonly<Record<string, string>>): OneProcess {
  const started = oneProcess(env);
  processes.push(started);
  return started;
}

/** Returns the standard error of a process that refuses to start. */
async function refusalOf(env: Readonly<Record<string, string>>): Promise<string> {
  const { output, ended } = start(env);
  expect(await ended).toBe(1);
  expect(output.stdout).toBe('');
  return output.stderr;
}

/** Returns the log of a process until it listens, one object per line. */
async function logOf(env: Readonly<Record<string, string>>): Promise<Record<string, unknown>[]> {
  const { output, child, ended } = start(env);
  await expect.poll(() => output.stdout, { timeout: 60_000 }).toMatch('dibs listening');
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  return output.stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

it('a unix socket on an ordinary file', async () => {
  const path = join(folder, 'policy.yaml');
  writeFileSync(path, 'namespaces: {}');
  const said = await refusalOf({ DIBS_LISTEN: `unix://${path}` });
  expect(said).toMatch(`cannot listen at unix://${path}: '${path}' exists and is not a socket`);
  expect(readFileSync(path, 'utf8')).toBe('namespaces: {}');
});

it('a unix socket in a missing folder', async () => {
  const said = await refusalOf({ DIBS_LISTEN: `unix://${folder}/none/dibs.sock` });
  expect(said).toMatch(`the folder '${folder}/none' does not exist`);
});

it('a unix socket with a path that is too long', async () => {
  const path = join(folder, 's'.repeat(120));
  expect(await refusalOf({ DIBS_LISTEN: `unix://${path}` })).toMatch('the system accepts at most 107');
  expect(existsSync(path.slice(0, 107))).toBe(false);
});

it('a misspelt variable', async () => {
  const lines = await logOf({ DIBS_QUORUM_NODE: 'redis://a', DIBS_SERVICE_HOST: '10.0.0.1' });
  expect(lines.filter(({ msg }) => msg === LOG.unknownVariable)).toMatchObject([
    { level: 'warn', variable: 'DIBS_QUORUM_NODE', nearest: 'DIBS_QUORUM_NODES' },
  ]);
});

it('embedded, and reachable from other machines', async () => {
  const lines = await logOf({ DIBS_LISTEN: '0.0.0.0:0', DIBS_INSECURE: 'true' });
  expect(lines).toContainEqual(expect.objectContaining({ level: 'warn', msg: LOG.embeddedBeyondLoopback }));
  const alone = await logOf({});
  expect(alone.filter(({ level }) => level !== 'info')).toEqual([]);
});

it('a malformed Redis URL', async () => {
  const nodes = 'redis://:50%@a,redis://word@b,redis://c:p/w@d';
  const said = await refusalOf({ DIBS_QUORUM_NODES: nodes, DIBS_STORE_URL: 'redis://:my%secret@s' });
  expect(said).toMatch(/DIBS_QUORUM_NODES: node 1 .*: the password has a % .*; percent-encode it/);
  expect(said).toMatch(/DIBS_QUORUM_NODES: node 2 .*: the part before @ has no colon/);
  expect(said).toMatch(/DIBS_QUORUM_NODES: node 3 .*/);
  expect(said).toMatch(/DIBS_STORE_URL: cannot be used: the password has a %/);
  expect(said).not.toMatch(/my%secret|50%@|word@/);
});

it('an OTLP endpoint without a scheme', async () => {
  const said = await refusalOf({ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' });
  expect(said).toMatch('OTEL_EXPORTER_OTLP_ENDPOINT: is not http://HOST:PORT or https://HOST:PORT');
});
