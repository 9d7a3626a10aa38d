import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RELOADED } from '../../src/config/reloads.js';
import { LOG } from '../../src/telemetry/log-texts.js';
import { oneProcess } from '../support/one-process.js';
import { Replica } from '../support/replica.js';

// Files at which a process could hang or end. In the place of each file, a process gets all of them.

const LAUGHS = Array.from(
  { length: 30 },
  (_, at) => `a${at + 1}: &a${at + 1} [${`*a${at},`.repeat(9)}]\n`,
).join('');
const WRONG: Readonly<Record<string, readonly [make: (path: string) => void, fault: string]>> = {
  'a named pipe': [(path) => execFileSync('mkfifo', [path]), "' cannot be read: it is a named pipe"],
  'a folder': [(path) => mkdirSync(path), "' cannot be read: it is a folder"],
  '1 GiB': [
    (path) => {
      writeFileSync(path, '');
      truncateSync(path, 1_073_741_824);
    },
    "' cannot be read: it has 1073741824 bytes, and may have at most 1048576",
  ],
  'thousands of brackets': [
    (path) => writeFileSync(path, '['.repeat(10_000)),
    'is nested in more than 20 levels at line 1, column 21',
  ],
  'thousands of lists': [
    (path) => writeFileSync(path, '- '.repeat(10_000)),
    'is nested in more than 20 levels at line 1, column 41',
  ],
  'too many aliases': [(path) => writeFileSync(path, `a0: &a0 x\n${LAUGHS}`), 'is not plain YAML'],
};

let folder: string;
let env: { readonly DIBS_CONFIG: string; readonly DIBS_AUTH_FILE: string };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dibs-wrong-'));
  env = { DIBS_CONFIG: join(folder, 'policies.yaml'), DIBS_AUTH_FILE: join(folder, 'auth.yaml') };
});
afterEach(() => rmSync(folder, { recursive: true }));
const paths = () => Object.values(env);
function place(make: (path: string) => void): void {
  for (const path of paths()) {
    rmSync(path, { recursive: true, force: true });
    make(path);
  }
}

it.each(Object.entries(WRONG))('%s is one named fault at the start', async (_, [make, fault]) => {
  place(make);
  const { output, ended } = oneProcess(env);
  expect(await ended).toBe(1);
  const { faults } = JSON.parse(output.stderr);
  expect(faults).toHaveLength(2);
  expect(faults.find((each: string) => each.startsWith('DIBS_CONFIG: '))).toContain(fault);
  expect(faults.find((each: string) => each.startsWith('DIBS_AUTH_FILE: '))).toContain(fault);
});

it('a process that serves reports each once, keeps what it had, and can end', async () => {
  place((path) => writeFileSync(path, path === env.DIBS_CONFIG ? 'namespaces: {}' : 'identities: {}'));
  const replica = await Replica.start({ ...env, DIBS_LOG_LEVEL: 'info' });
  let reports = 0;
  for (const [make, fault] of Object.values(WRONG)) {
    place(make);
    replica.signal('SIGHUP');
    reports += 1;
    const lines = (said: string) => replica.log.split('\n').filter((line) => line.includes(said));
    await expect.poll(() => lines(LOG.policiesKept)).toHaveLength(reports);
    await expect.poll(() => lines(RELOADED.identitiesKept)).toHaveLength(reports);
    for (const said of [LOG.policiesKept, RELOADED.identitiesKept])
      expect(lines(said).at(-1)).toContain(fault);
    expect((await fetch(`${replica.httpUrl}/readyz`)).status).toBe(200);
  }
  place((path) =>
    writeFileSync(path, path === env.DIBS_CONFIG ? 'namespaces: { a: {} }' : 'identities: { a: {} }'),
  );
  replica.signal('SIGHUP');
  await expect.poll(() => replica.log).toContain(LOG.policiesReloaded);
  await expect.poll(() => replica.log).toContain(RELOADED.identities);
  place(WRONG['a named pipe']?.[0] ?? (() => {}));
  await expect.poll(() => replica.log.split(RELOADED.identitiesKept).length).toBe(reports + 2);
  replica.signal('SIGTERM');
  expect(await replica.ended).toEqual({ code: 0, signal: null });
});
