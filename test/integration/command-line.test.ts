import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Caller } from '../support/caller.js';
import { Replica } from '../support/replica.js';
import { waitersOf } from '../support/waiters.js';

// The command `dibs` as people on call run it: its own process and a real replica.

let replica: Replica;
let caller: Caller;
beforeAll(async () => {
  replica = await Replica.start();
  caller = new Caller(replica.target);
});
afterAll(async () => {
  caller?.close();
  await replica?.kill();
});

async function dibs(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { PATH: process.env.PATH, DIBS_TARGET: replica.target };
  try {
    const output = await promisify(execFile)(process.execPath, ['dist/cli.js', ...args], { env });
    return { code: 0, ...output };
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string };
  }
}

async function publish(key: string, tags: string[] = []): Promise<void> {
  const { token } = await caller.lease({ key, namespace: 'prices', holder: 'web-3' });
  const payload = { $case: 'value', value: Buffer.from('12345') } as const;
  const namespace = 'prices';
  await caller.publish({ namespace, key, token, payload, ttlMs: 60_000, staleMs: 60_000, tags });
}

const hasValue = async (key: string) =>
  /^value +5 bytes/m.test((await dibs('explain', '-n', 'prices', key)).stdout);

it('explain shows a key that is rebuilt while others wait', async () => {
  await caller.lease({ key: 'slow', holder: 'web-3/17', leaseMs: 60_000 });
  const waiting = [0, 1, 2].map(() => caller.getOrLock({ key: 'slow', waitMs: 30_000 }));
  await expect.poll(() => waitersOf(replica.httpUrl)).toBe(3);
  const { code, stdout, stderr } = await dibs('explain', 'slow');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^lease +web-3\/17 has held it for .*; ends in \d/m);
  expect(stdout).toMatch(/^waiters +3 callers on the replica that answered$/m);

  const json = JSON.parse((await dibs('explain', '--json', 'slow')).stdout);
  expect(json).toMatchObject({
    namespace: 'default',
    key: 'slow',
    waiters: 3,
    lease: { holder: 'web-3/17' },
  });
  await caller.invalidate({ keys: ['slow'] });
  const { outcome } = await Promise.race(waiting);
  if (outcome?.$case !== 'lease') throw new Error('expected the lease');
  await caller.publishText('slow', outcome.value.token, 'done');
  await Promise.all(waiting);
  expect((await dibs('explain', 'slow')).stdout).toMatch(
    / ago +published .*\n.* ago +invalidated .* web-3\/17 /,
  );
});

it('invalidate by key reports what had a value and what was voided', async () => {
  await publish('kept');
  await publish('dropped');
  await caller.lease({ key: 'rebuilt', namespace: 'prices' });
  const { code, stdout } = await dibs('invalidate', '-n', 'prices', 'dropped', 'rebuilt', 'unknown');
  expect({ code, stdout }).toEqual({
    code: 0,
    stdout: 'namespace prices: 1 of 3 keys had a value, now dropped; 1 running rebuild voided\n',
  });
  expect(await hasValue('dropped')).toBe(false);
  expect(await hasValue('kept')).toBe(true);
});

it('invalidate --mark-stale marks a value stale', async () => {
  await publish('marked');
  const { stdout } = await dibs('invalidate', '-n', 'prices', '--mark-stale', 'marked');
  expect(stdout).toContain('1 of 1 key had a value, now stale; no running rebuild voided');
  expect((await dibs('explain', '-n', 'prices', 'marked')).stdout).toMatch(/^value +5 bytes; stale/m);
});

it('invalidate --tag drops the values with the tag', async () => {
  await publish('tagged', ['blue', 'red']);
  await publish('also tagged', ['green']);
  const { stdout } = await dibs('invalidate', '-n', 'prices', '--tag', 'red', '--tag', 'yellow');
  expect(stdout).toBe('namespace prices: all values with one of the tags red, yellow are dropped\n');
  expect(await hasValue('tagged')).toBe(false);
  expect(await hasValue('also tagged')).toBe(true);
});

it('invalidate --all drops a whole namespace, with a confirmation only', async () => {
  await publish('all');
  const asked = await dibs('invalidate', '-n', 'prices', '--all');
  expect(asked).toMatchObject({ code: 2, stdout: '' });
  expect(asked.stderr).toContain('add --yes');
  expect(await hasValue('all')).toBe(true);
  const done = await dibs('invalidate', '-n', 'prices', '--all', '--yes');
  expect(done).toMatchObject({ code: 0, stdout: 'namespace prices: everything is dropped\n' });
  expect(await hasValue('all')).toBe(false);
});

it('a refusal of the service is one line with its reason', async () => {
  const { code, stderr } = await dibs('explain', '-n', 'not a name', 'k');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^dibs: \S+ refused: namespace: [^\n]*\n$/);
});

it('top prints its table once if its output is not a terminal', async () => {
  let calling = true;
  const calls = (async () => {
    while (calling) await caller.getOrLock({ key: 'top', waitMs: 0 });
  })();
  const { code, stdout } = await dibs('top', '--http', replica.httpUrl);
  calling = false;
  await calls;
  expect(code).toBe(0);
  const cells = stdout.split('\n')[3]?.split(/ {2,}/) ?? [];
  expect(stdout.split('\n')[2]).toMatch(/^REPLICA +CALLS\/S /);
  expect(cells[0]).toBe(new URL(replica.httpUrl).host);
  expect(Number(cells[1]?.replaceAll(',', ''))).toBeGreaterThan(0);
  expect(cells.slice(-2)).toEqual(['embedded', 'no']);
  expect(stdout).toMatch(/^busy: wait_ended /m);
});

it('top ends with code 1 if nothing listens', async () => {
  const { code, stderr } = await dibs('top', '--http', 'http://127.0.0.1:2');
  expect(code).toBe(1);
  expect(stderr).toBe('dibs: 127.0.0.1:2: connection refused; check --http\n');
});

it('`npx dibs` runs it here, without a registry', async () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  const { stdout } = await promisify(execFile)('npx', ['--offline', 'dibs', '--version']);
  expect(stdout.trim()).toBe(version);
});
