import type { EventEmitter } from 'node:events';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HttpServer, NOT_FOUND } from '../../../src/http/server.js';
import { HTTP_OPTIONS } from '../../support/http-options.js';

let server: HttpServer;
let ready = false;
let started = false;
let metricsStatus: 200 | 401 | 403 = 200;
let scrape = async () => 'dibs_waiters 0\n';

beforeEach(async () => {
  ready = false;
  started = false;
  metricsStatus = 200;
  server = await HttpServer.bind({
    ...HTTP_OPTIONS,
    ready: () => ready,
    started: () => started,
    scrape: () => scrape(),
    authorize: (_request, page) => (page === 'metrics' ? metricsStatus : 401),
  });
});
afterEach(() => server.stop());

const get = (path: string, method = 'GET') => fetch(`http://${server.address}${path}`, { method });

/** The response to these raw bytes, until the server ends the connection. */
function raw(bytes: string): Promise<string> {
  const [host = '', port] = server.address.split(':');
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), host, () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('end', () => resolve(text));
    socket.on('error', reject);
  });
}

describe('the pages', () => {
  it('report that the process lives, ready or not', async () => {
    expect((await get('/healthz')).status).toBe(200);
    ready = true;
    expect((await get('/healthz')).status).toBe(200);
  });

  it('report whether it is ready', async () => {
    expect((await get('/readyz')).status).toBe(503);
    ready = true;
    expect((await get('/readyz')).status).toBe(200);
    ready = false;
    expect((await get('/readyz?verbose')).status).toBe(503);
  });

  it('report whether it has reached its lock nodes or store, ready or not', async () => {
    ready = true;
    expect((await get('/startupz')).status).toBe(503);
    expect(await (await get('/startupz')).text()).toMatch('neither the lock nodes nor the value store');
    started = true;
    ready = false;
    expect((await get('/startupz')).status).toBe(200);
  });

  it('show the metrics in the format of Prometheus', async () => {
    const response = await get('/metrics');
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await response.text()).toBe('dibs_waiters 0\n');
  });

  it('report that the metrics cannot be read', async () => {
    const before = scrape;
    scrape = () => Promise.reject(new Error('no reader'));
    expect((await get('/metrics')).status).toBe(500);
    scrape = before;
  });

  it('are open to probes, and otherwise only to callers with access', async () => {
    ready = true;
    expect((await get('/')).status).toBe(401);
    expect((await get('/metrics')).status).toBe(200);
    for (metricsStatus of [401, 403] as const) {
      const response = await get('/metrics');
      expect(response.status).toBe(metricsStatus);
      expect(response.headers.has('www-authenticate')).toBe(metricsStatus === 401);
      expect(await response.text()).not.toMatch('dibs_waiters');
      for (const path of ['/healthz', '/readyz']) expect((await get(path)).status).toBe(200);
    }
  });

  it('do not exist elsewhere, and the error lists them', async () => {
    for (const path of ['/index.html', '/console', '/metrics/', '/healthz2', '/../metrics%00']) {
      const response = await get(path);
      expect(response.status).toBe(404);
      expect(await response.text()).toBe(NOT_FOUND);
    }
  });
});

describe('requests', () => {
  it('may be HEAD requests', async () => {
    const response = await get('/healthz', 'HEAD');
    expect(response.status).toBe(200);
    expect(await response.text()).toBe('');
    expect(response.headers.get('content-length')).toBe('3');
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('cannot be %s', async (method) => {
    for (const path of ['/metrics', '/', '/console/events']) {
      const response = await get(path, method);
      expect(response.status).toBe(405);
      expect(response.headers.get('allow')).toBe('GET, HEAD');
    }
  });

  it('are refused if their headers are too large', async () => {
    const head = `GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n`;
    expect(await raw(`${head}X: ${'x'.repeat(4_000)}\r\n\r\n`)).toMatch('HTTP/1.1 200');
    expect(await raw(`${head}X: ${'x'.repeat(9_000)}\r\n\r\n`)).toMatch('HTTP/1.1 431');
  });

  it('that are invalid end the connection', async () => {
    expect(await raw('\0\0\0\r\n\r\n')).toMatch('HTTP/1.1 400');
  });
});

it('listening at a used address fails with the address', async () => {
  const [host = '', port] = server.address.split(':');
  const again = HttpServer.bind({
    ...HTTP_OPTIONS,
    host,
    port: Number(port),
  });
  await expect(again).rejects.toThrow(`cannot listen at ${server.address}`);
});

it('a connection that the system cannot accept does not end the process', async () => {
  const { server: listening } = server as unknown as { readonly server: EventEmitter };
  for (let count = 0; count < 2; count += 1) listening.emit('error', new Error('accept EMFILE'));
  expect((await get('/healthz')).status).toBe(200);
});

describe('a page for this machine only', () => {
  const statusFor = async (host: string, path = '/') => {
    const text = await raw(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    return Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1]);
  };

  it.each(['localhost:9464', 'LOCALHOST', '127.0.0.1:1', '127.9.9.9', '[::1]:9464'])(
    'is served under %s',
    async (host) => {
      // The console of this test requires a password.
      expect(await statusFor(host)).toBe(401);
    },
  );

  it.each([
    'evil.example',
    'evil.example:9464',
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '10.0.0.1',
    '',
  ])('is not served under %j', async (host) => {
    expect(await statusFor(host)).toBe(421);
    expect(await statusFor(host, '/console/events')).toBe(421);
    expect(await statusFor(host, '/healthz')).toBe(200);
  });
});

it('the metrics are made once for all concurrent requests', async () => {
  let made = 0;
  let go = () => {};
  scrape = () => {
    made += 1;
    return new Promise((resolve) => {
      go = () => resolve(`made ${made}\n`);
    });
  };
  const [one, two] = [get('/metrics'), get('/metrics')];
  // Both requests have arrived when the probes behind them are answered.
  await Promise.all([get('/healthz'), get('/healthz')]);
  await expect.poll(() => made).toBe(1);
  await new Promise((resolve) => setTimeout(resolve, 200));
  go();
  expect([await (await one).text(), await (await two).text()]).toEqual(['made 1\n', 'made 1\n']);
  const third = get('/metrics');
  await expect.poll(() => made).toBe(2);
  go();
  const response = await third;
  expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  expect(response.headers.get('cross-origin-resource-policy')).toBe('same-origin');
  await response.text();
});
