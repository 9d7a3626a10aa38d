import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { top } from '../../../src/cli/top.js';

const servers: Server[] = [];
const shown: (string | undefined)[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Serves these pages in turn as metrics, and then the last one repeatedly. Returns the base URL. */
async function showing(pages: readonly { status?: number; text: string }[]): Promise<string> {
  let at = 0;
  const server = createServer((request, response) => {
    shown.push(request.headers.authorization);
    const page = pages[Math.min(at, pages.length - 1)];
    at += 1;
    response.writeHead(request.url === '/metrics' ? (page?.status ?? 200) : 404).end(page?.text);
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Runs `top`: with `columns` on a terminal, and in a pipe without. Interrupts it after `screens`. */
async function run(
  args: readonly string[],
  { screens, columns, env = {} }: { screens?: number; columns?: number; env?: Record<string, string> } = {},
) {
  const interrupt = new AbortController();
  const written: string[] = [];
  const code = await top.run(args, {
    env,
    version: '',
    out: {
      ...(columns === undefined ? {} : { isTTY: true, columns }),
      write: (text) => {
        if (written.push(text) === screens) interrupt.abort();
      },
    },
    err: { write: () => {} },
    diagnose: () => Promise.reject(new Error('not here')),
    interrupted: () => interrupt.signal,
  });
  return { code, written };
}

const hits = (count: number) => ({ text: `dibs_get_or_lock_total{namespace="a",outcome="hit"} ${count}\n` });

it('sends the token of DIBS_TOKEN, and nothing without it', async () => {
  const url = await showing([hits(1)]);
  shown.length = 0;
  await run(['--http', url], { env: { DIBS_TOKEN: 'secret' } });
  await run(['--http', url]);
  expect(shown).toEqual(['Bearer secret', 'Bearer secret', undefined, undefined]);
});

it('draws every second on a terminal, within its columns, until it is interrupted', async () => {
  const url = await showing([hits(100), hits(300), hits(301)]);
  const { code, written } = await run(['--http', url], { screens: 2, columns: 40 });
  expect(code).toBe(0);
  expect(written).toHaveLength(2);
  for (const screen of written) {
    expect(screen.startsWith('\u001b[H\u001b[J')).toBe(true);
    expect(
      screen
        .slice(6)
        .split('\n')
        .every((line) => line.length <= 40),
    ).toBe(true);
  }
  const callsIn = (screen = '') => Number(/^127\S+ +(\S+)/m.exec(screen)?.[1]);
  // On a busy machine, the interval is not exactly a second.
  expect(callsIn(written[0])).toBeGreaterThan(50);
  expect(callsIn(written[1])).toBeLessThan(2);
});

it('shows a replica one second after it has returned', async () => {
  const url = await showing([hits(5), { status: 503, text: '' }, hits(1), hits(2)]);
  const { written } = await run(['--http', url], { screens: 3, columns: 200 });
  expect(written.map((screen) => /metrics answers 503|has just started|CALLS/.exec(screen)?.[0])).toEqual([
    'metrics answers 503',
    'has just started',
    'CALLS',
  ]);
});

it('prints once into a pipe, and fails if a replica cannot be reached', async () => {
  const url = await showing([hits(1)]);
  const { code, written } = await run([
    '--http',
    `${url}/metrics`,
    '--http',
    url,
    '--http',
    'http://127.0.0.1:2',
  ]);
  expect(code).toBe(1);
  expect(written).toHaveLength(1);
  expect(written[0]).toMatch(/2 replicas[\s\S]*127.0.0.1:2: connection refused\n$/);
  expect((await run(['--http', url])).code).toBe(0);
});

it.each([
  [{ text: 'up 1\n' }, 'has no Dibs metrics'],
  [{ text: '<html>' }, "invalid line in Prometheus' text format: <html>"],
  [{ status: 404, text: '' }, 'answers 404'],
])('names why there are no figures: %j', async (page, why) => {
  const url = await showing([page]);
  await expect(run(['--http', url])).rejects.toThrow(why);
});
