import { readdirSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ConsoleState } from '../../../src/http/console-state.js';
import { UNAUTHENTICATED } from '../../../src/http/page-guard.js';
import { HttpServer } from '../../../src/http/server.js';
import { HTTP_OPTIONS } from '../../support/http-options.js';
import { runningMs } from '../../support/running-ms.js';
import { until } from '../../support/until.js';

/** A state that differs by its number only. */
const stateOf = (number: number) =>
  ({ atMs: number, held: { leases: [{ key: 'a\nkey' }] } }) as unknown as ConsoleState;

let server: HttpServer;
let looks = 0;
let state: () => ConsoleState | undefined;
let authorize: (request: IncomingMessage) => 200 | 401 | 403;

beforeEach(async () => {
  looks = 0;
  state = () => stateOf(looks);
  authorize = () => 200;
  server = await HttpServer.bind({
    ...HTTP_OPTIONS,
    consoleState: () => {
      looks += 1;
      return state();
    },
    authorize: (request) => authorize(request),
  });
});
afterEach(() => server.stop());

const get = (path: string, init?: RequestInit) => fetch(`http://${server.address}${path}`, init);

/** A watcher with all the events that it received. */
async function watch() {
  const leaving = new AbortController();
  const response = await get('/console/events', { signal: leaving.signal });
  const watcher = { response, events: [] as ConsoleState[], ended: false, leave: () => leaving.abort() };
  void (async () => {
    let text = '';
    try {
      for await (const chunk of response.body ?? []) {
        text += Buffer.from(chunk).toString();
        const whole = text.split('\n\n');
        text = whole.pop() ?? '';
        watcher.events.push(...whole.map((event) => JSON.parse(event.replace(/^data: /, ''))));
      }
    } catch {
      // It left by itself.
    }
    watcher.ended = true;
  })();
  return watcher;
}

/** The status of a HEAD request for the events from another address of this machine. */
function statusFor(localAddress: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const options = { method: 'HEAD', localAddress, agent: false as const };
    request(`http://${server.address}/console/events`, options, ({ statusCode }) => resolve(statusCode))
      .on('error', reject)
      .end();
  });
}

describe('the console page', () => {
  it('consists of files of this process only, and all of them are used', async () => {
    const html = await (await get('/')).text();
    const folder = readdirSync('src/http/console');
    const served = folder.filter((name) => name !== 'index.html' && name !== 'tsconfig.json');
    for (const name of served) expect((await get(`/console/${name}`)).status).toBe(200);
    const [scripts, styles] = ['.js', '.css'].map((end) => served.filter((name) => name.endsWith(end)));
    expect(scripts?.length).toBeGreaterThan(0);
    for (const style of styles ?? []) expect(html).toContain(`href="console/${style}"`);
    for (const [, url] of html.matchAll(/(?:href|src)="([^"]*)"/g)) {
      expect(url).toMatch(/^(console\/[\w.-]+|metrics)$/);
      expect((await get(`/${url}`)).status).toBe(200);
    }
  });

  it('has no inline code or style', async () => {
    const html = await (await get('/')).text();
    expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:/i);
  });

  it('may load only its own files, and is never sniffed, framed or cached', async () => {
    for (const path of ['/', '/console/console.js', '/console/events']) {
      const { headers } = await get(path, { method: 'HEAD' });
      const policy = headers.get('content-security-policy') ?? '';
      expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self'; /);
      expect(policy).not.toMatch(/unsafe|\*|https?:|data:/);
      expect(policy).toContain("frame-ancestors 'none'");
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('cache-control')).toBe('no-store');
    }
  });

  it('has files with their content types', async () => {
    const typeOf = async (path: string) => (await get(path)).headers.get('content-type');
    expect(await typeOf('/')).toBe('text/html; charset=utf-8');
    expect(await typeOf('/console/console.css')).toBe('text/css; charset=utf-8');
    expect(await typeOf('/console/console.js')).toBe('text/javascript; charset=utf-8');
    expect(await typeOf('/console/icon.svg')).toBe('image/svg+xml');
  });
});

describe('the console events', () => {
  it('begin at once, and continue every second', async () => {
    const watcher = await watch();
    expect(watcher.response.headers.get('content-type')).toBe('text/event-stream');
    expect(await runningMs(() => until(() => watcher.events.length > 0))).toBeLessThan(500);
    await until(() => watcher.events.length >= 3);
    expect(watcher.events.slice(0, 3).map(({ atMs }) => atMs)).toEqual([1, 2, 3]);
    expect(watcher.events[0]?.held.leases[0]?.key).toBe('a\nkey');
    watcher.leave();
  });

  it('are made once for all watchers, and not without one', async () => {
    await sleep(1_200);
    expect(looks).toBe(0);
    const startMs = performance.now();
    const watchers = await Promise.all(Array.from({ length: 10 }, watch));
    await until(() => watchers.every(({ events }) => events.length >= 2));
    // One at once, and one in each second. For each watcher there would be twenty.
    expect(looks).toBeLessThanOrEqual(2 + Math.floor((performance.now() - startMs) / 1_000));
    for (const watcher of watchers) watcher.leave();
    let before = 0;
    await until(async () => {
      before = looks;
      await sleep(1_200);
      return looks === before;
    });
    // A later watcher gets the current state.
    const late = await watch();
    await until(() => late.events.length > 0);
    expect(late.events[0]?.atMs).toBe(before + 1);
    late.leave();
  });

  it('have at most 32 watchers, and half of them for one address', async () => {
    const watchers = await Promise.all(Array.from({ length: 16 }, watch));
    const refused = await get('/console/events');
    expect(refused.status).toBe(503);
    expect(await refused.text()).toContain('too many open consoles: at most 32');
    expect(await statusFor('127.0.0.2')).toBe(200);
    expect((await get('/')).status).toBe(200);
    watchers[0]?.leave();
    await until(async () => (await get('/console/events', { method: 'HEAD' })).status === 200);
    for (const watcher of watchers) watcher.leave();
  });

  it('are unavailable before there is a state', async () => {
    state = () => undefined;
    const early = await get('/console/events');
    expect(early.status).toBe(503);
    expect(early.headers.get('retry-after')).toBe('1');
    state = () => stateOf(7);
    const watcher = await watch();
    await until(() => watcher.events.length > 0);
    watcher.leave();
  });

  it('end at once with the server', async () => {
    const watcher = await watch();
    await until(() => watcher.events.length > 0);
    const tookMs = await runningMs(async () => {
      await server.stop();
      await until(() => watcher.ended);
    });
    expect(tookMs).toBeLessThan(900);
  });

  it('are not queued for a watcher that does not read', async () => {
    // More than the socket buffers hold.
    const large = 'x'.repeat(4 << 20);
    state = () => ({ atMs: looks, large }) as unknown as ConsoleState;
    const [host = '', port] = server.address.split(':');
    const request = 'GET /console/events HTTP/1.1\r\nHost: localhost\r\n\r\n';
    const deaf = connect(Number(port), host, () => deaf.write(request));
    deaf.pause();
    await until(() => looks >= 7, 60_000);
    const heard: number[] = [];
    deaf.on('data', (chunk) => {
      for (const [, number] of chunk.toString('latin1').matchAll(/"atMs":(\d+)/g)) heard.push(Number(number));
    });
    deaf.resume();
    await until(() => (heard.at(-1) ?? 0) > 7);
    deaf.destroy();
    expect(heard[0]).toBe(1);
    expect(heard.length).toBeLessThan(7);
  });
});

describe('a caller without access', () => {
  it('is asked for credentials by the page, its files and the events', async () => {
    authorize = () => 401;
    for (const path of ['/', '/console/console.js', '/console/events']) {
      const response = await get(path);
      expect(response.status).toBe(401);
      expect(response.headers.get('www-authenticate')).toBe('Basic realm="dibs", charset="UTF-8"');
      expect(await response.text()).toBe(UNAUTHENTICATED);
    }
    expect(looks).toBe(0);
  });

  it('is refused without that request if it is known', async () => {
    authorize = () => 403;
    const response = await get('/console/events');
    expect(response.status).toBe(403);
    expect(response.headers.get('www-authenticate')).toBeNull();
  });

  it('is judged by each request', async () => {
    authorize = ({ headers }) => (headers.authorization === 'Basic b2s6b2s=' ? 200 : 401);
    expect((await get('/')).status).toBe(401);
    expect((await get('/', { headers: { authorization: 'Basic b2s6b2s=' } })).status).toBe(200);
  });

  it('receives no events after its access has ended', async () => {
    const watcher = await watch();
    await until(() => watcher.events.length === 2);
    authorize = () => 403;
    await until(() => watcher.ended);
    expect(watcher.events).toHaveLength(2);
  });
});
