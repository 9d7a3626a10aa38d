import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type ClientReadableStream, credentials, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AUTH_FILE, namespace } from '../../support/access-trial.js';
import { Caller } from '../../support/caller.js';
import { Replica } from '../../support/replica.js';

// Health checks need no credentials, so they have a bound of their own.

const CONNECTIONS = 40;
const folder = mkdtempSync(join(tmpdir(), 'dibs-probes-'));
let replica: Replica;
beforeAll(async () => {
  const file = join(folder, 'auth.yaml');
  writeFileSync(file, AUTH_FILE);
  replica = await Replica.start({ DIBS_AUTH_FILE: file, DIBS_CONNECTIONS: String(CONNECTIONS) });
});
afterAll(async () => {
  await replica?.kill();
  rmSync(folder, { recursive: true });
});

const open: ClientReadableStream<Buffer>[] = [];

/** A watch that stays open. Resolves with its first answer, or with its status. */
function watch(client: Client): Promise<number | 'watches'> {
  const bytes = (it: Buffer) => it;
  const path = '/grpc.health.v1.Health/Watch';
  const stream = client.makeServerStreamRequest(path, bytes, bytes, Buffer.alloc(0));
  open.push(stream);
  return new Promise((resolve) => {
    stream.on('data', () => resolve('watches'));
    stream.on('error', (error) => resolve((error as unknown as { code: number }).code));
  });
}

it('one address has half of the open health checks, and its other calls are served', async () => {
  const client = new Client(replica.target, credentials.createInsecure());
  const seen = await Promise.all(Array.from({ length: 60 }, () => watch(client)));
  expect(seen.filter((it) => it === 'watches')).toHaveLength(CONNECTIONS / 2);
  expect(seen.filter((it) => it === status.RESOURCE_EXHAUSTED)).toHaveLength(60 - CONNECTIONS / 2);
  const caller = new Caller(replica.target, { token: 'checkout' });
  await caller.getOrLock({ namespace, key: 'k' });
  caller.close();
  for (const stream of open) stream.cancel();
  await expect.poll(() => watch(client)).toBe('watches');
  for (const stream of open) stream.cancel();
  client.close();
});
