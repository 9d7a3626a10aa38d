import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { LOG } from '../../../src/telemetry/log-texts.js';
import { AUTH_FILE, namespace, sha256 } from '../../support/access-trial.js';
import { Caller } from '../../support/caller.js';
import { Replica } from '../../support/replica.js';
import { until } from '../../support/until.js';

// A process with at most 200 open files, and one address that opens 600 connections to it.

const OPEN_FILES = 200;
const folder = mkdtempSync(join(tmpdir(), 'dibs-few-'));
const file = join(folder, 'auth.yaml');
const sockets: Socket[] = [];
let replica: Replica;

beforeAll(async () => {
  writeFileSync(file, AUTH_FILE);
  replica = await Replica.start({ DIBS_AUTH_FILE: file }, 'dist/main.js', OPEN_FILES);
  const grpc = replica.target;
  const http = new URL(replica.httpUrl).host;
  for (const target of [grpc, http]) {
    const [host = '', port = ''] = target.split(':');
    for (let at = 0; at < 300; at += 1) {
      const socket = connect({ host, port: Number(port), localAddress: '127.0.0.2' });
      socket.on('error', () => {});
      sockets.push(socket);
    }
  }
  await sleep(1_000);
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await replica?.kill();
  rmSync(folder, { recursive: true });
});

async function isServed(token: string): Promise<boolean> {
  const caller = new Caller(replica.target, { token });
  const served = await caller.getOrLock({ namespace, key: 'k' }, { deadlineMs: 10_000 }).then(
    () => true,
    () => false,
  );
  caller.close();
  return served;
}

it('a new client, the probes and the metrics are served, and the auth file is read again', async () => {
  await until(() => isServed('checkout'), 60_000);
  expect((await fetch(`${replica.httpUrl}/healthz`)).status).toBe(200);
  writeFileSync(file, AUTH_FILE.replace(sha256('search'), sha256('renewed')));
  replica.signal('SIGHUP');
  await until(() => isServed('renewed'));
});

it('the log and a metric report the refused connections', async () => {
  await until(() => replica.log.includes(LOG.connectionRefused));
  await expect.poll(() => replica.log).toContain('"protocol":"grpc","address":"127.0.0.2","why":"share"');
  const headers = { authorization: `Basic ${Buffer.from('dibs:operator').toString('base64')}` };
  const refused = async () => {
    const metrics = await (await fetch(`${replica.httpUrl}/metrics`, { headers })).text();
    const [, count = '0'] =
      /^dibs_connections_refused_total\{[^}]*protocol="grpc",why="share"[^}]*\} (\d+)/m.exec(metrics) ?? [];
    return Number(count);
  };
  await expect.poll(refused).toBeGreaterThanOrEqual(250);
});
