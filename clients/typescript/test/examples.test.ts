import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { inRounds } from '../../../test/support/rounds.js';
import { Service } from './service.js';

// The examples run unchanged, on the package as it is built.

const run = promisify(execFile);
const file = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const COMPILER = file('../../node_modules/.bin/tsc');
let service: Service;

async function start(): Promise<void> {
  await service?.stop();
  service = await Service.start({ DIBS_CONFIG: file('examples/dibs.yaml') });
}
beforeAll(async () => {
  await run(COMPILER, ['-p', file('examples')]);
  await start();
});
afterAll(() => service?.stop());

function environment() {
  return { ...process.env, DIBS_TARGET: service.target };
}

it.each([
  ['start', 'Ada\n'],
  ['rebuild-once', 'Ada and Ada after 1 query\n'],
  ['stale-while-revalidate', 'page 1, then page 1 at once, then page 2\n'],
  ['invalidate-on-write', '10, then 12\n'],
  ['early-refresh', 'rebuilt for: miss, early_refresh\n'],
  ['jitter', '50 keys, over more than 15 s\n'],
  ['budget', '10 keys rebuilt, at most 2 at a time\n'],
  ['deadline', 'deadline_too_short, with a time to retry: yes\n'],
  ['learned-lease', '10 s at first, 3 s once it is known to be quick\n'],
  ['read-your-writes', 'Ada, then Grace\n'],
  ['near-cache', '10 after a thousand hits, then 12\n'],
  ['tags', '2 pages rebuilt, then 4\n'],
  ['absent', 'no such user, after 1 query\n'],
  ['failure', 'the database is away, and for others: the database is away\n'],
  ['many-keys', 'a cached, b rebuilt, c rebuilt, by 1 query for 2 keys\n'],
  ['explain', 'report-job has had it, and 1 waits; before: warmer, failed\n'],
])('%s prints its documented output', (name, expected) =>
  // Their pauses are for an idle machine.
  inRounds([1, 2, 3], async (round) => {
    if (round > 1) await start();
    const { stdout } = await run(process.execPath, [file(`examples/dist/${name}.js`)], {
      env: environment(),
      cwd: file('.'),
    });
    expect(stdout).toBe(expected);
  }),
);

it('the first example of the README is examples/start.ts', () => {
  const [, block = ''] = /^```ts\n([\s\S]*?)^```$/m.exec(readFileSync(file('README.md'), 'utf8')) ?? [];
  expect(block).toBe(readFileSync(file('examples/start.ts'), 'utf8'));
  expect(block.split('\n').length).toBeLessThanOrEqual(11);
});
