import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { HttpServer } from '../../../src/http/server.js';
import { HTTP_OPTIONS } from '../../support/http-options.js';
import { until } from '../../support/until.js';

let server: HttpServer;
let opened: Socket[] = [];
let nowMs = 0;
let refused: string[] = [];
beforeEach(async () => {
  opened = [];
  nowMs = 0;
  refused = [];
  server = await HttpServer.bind({
    ...HTTP_OPTIONS,
    clock: { nowMs: () => nowMs },
    connectionRefused: (peer, why) => refused.push(`${peer} ${why}`),
    scrape: async () => 'dibs_waiters 0\n',
  });
});
afterEach(async () => {
  for (const socket of opened) socket.destroy();
  await server.stop();
});

async function open(localAddress: string): Promise<Socket> {
  const [host = '', port] = server.address.split(':');
  const socket = connect({ host, port: Number(port), localAddress });
  socket.on('error', () => {});
  opened.push(socket);
  await once(socket, 'connect');
  return socket;
}
const openMany = (count: number, localAddress: string) =>
  Promise.all(Array.from({ length: count }, () => open(localAddress)));

/** The status of a page, requested on this connection. */
async function get(socket: Socket, path: string): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  await until(() => text.includes('\r\n\r\n') || socket.destroyed);
  return text.slice(9, 12);
}

it('an address gets half of 1,000 connections, and beyond them only probes', async () => {
  await openMany(500, '127.0.0.2');
  const one = await open('127.0.0.2');
  expect(await get(one, '/metrics')).toBe('503');
  expect(await get(one, '/healthz')).toBe('200');
  expect(await get(await open('127.0.0.2'), '/readyz')).toBe('200');
  expect(await get(await open('127.0.0.3'), '/metrics')).toBe('200');
  // The server closes it, although it did nothing wrong.
  await until(() => one.destroyed);
});

it('any number of silent connections does not keep a probe out', async () => {
  await openMany(700, '127.0.0.2');
  expect(await get(await open('127.0.0.2'), '/healthz')).toBe('200');
  await until(() => opened.filter((socket) => !socket.destroyed).length <= 533);
});

/** Resolves with true at the end of an answer. */
function bodyOf(socket: Socket): Promise<boolean> {
  return new Promise((resolve) => {
    let text = '';
    const read = (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const [head = '', body] = text.split('\r\n\r\n', 2);
      const bytes = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (body === undefined || text.length < head.length + 4 + bytes) return;
      socket.off('data', read);
      resolve(true);
    };
    socket.on('data', read);
  });
}

/** Sends requests one after the other, until one is not answered. Returns how many were. */
async function ask(socket: Socket, path: string, count: number, headers = ''): Promise<number> {
  const closed = once(socket, 'close').then(() => false);
  for (let asked = 0; asked < count; asked += 1) {
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`);
    const answered = await Promise.race([closed, bodyOf(socket)]);
    if (!answered) return asked;
  }
  return count;
}

it.each([
  ['/healthz', ''],
  ['/metrics', ''],
  ['/', ''],
  ['/nothing', ''],
  ['/healthz', 'Expect: anything\r\n'],
])(
  'an address gets 1,000 requests of %s %s at once, and the next one closes its idle connections',
  async (path, headers) => {
    const [idle, flooding, other] = (await Promise.all(
      ['127.0.0.2', '127.0.0.2', '127.0.0.3'].map((address) => open(address)),
    )) as [Socket, Socket, Socket];
    expect(await ask(idle, '/healthz', 1)).toBe(1);
    expect(await ask(flooding, path, 2_000, headers)).toBe(999);
    await until(() => idle.destroyed);
    expect(refused).toEqual(['127.0.0.2 requests', '127.0.0.2 requests']);
    expect(await ask(other, '/healthz', 1)).toBe(1);
    nowMs += 995;
    expect(await ask(await open('127.0.0.2'), '/metrics', 1)).toBe(0);
    nowMs += 5;
    expect(await ask(await open('127.0.0.2'), '/metrics', 1)).toBe(1);
  },
);

it('an address without requests left gets one probe on each of five new connections a second', async () => {
  expect(await ask(await open('127.0.0.2'), '/healthz', 2_000)).toBe(1_000);
  for (let count = 0; count < 5; count += 1) {
    expect(await ask(await open('127.0.0.2'), '/healthz', 2)).toBe(1);
  }
  // A further one waits for its turn.
  const before = refused.length;
  const waiting = ask(await open('127.0.0.2'), '/healthz', 1);
  await until(() => refused.length > before);
  nowMs += 200;
  expect(await waiting).toBe(1);
  // Without a turn, it is closed after a second.
  expect(await ask(await open('127.0.0.2'), '/healthz', 1)).toBe(0);
});

it('many requests in one piece close the connection at the ninth, and Node drops the rest', async () => {
  const [pipelining, other] = (await Promise.all([open('127.0.0.2'), open('127.0.0.2')])) as [Socket, Socket];
  pipelining.resume();
  const piece = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n';
  pipelining.write(piece.repeat(8));
  await until(() => pipelining.bytesRead > 0);
  expect(pipelining.destroyed).toBe(false);
  pipelining.write(piece.repeat(500));
  await until(() => pipelining.destroyed);
  expect(refused).toEqual(['127.0.0.2 requests']);
  expect(await ask(other, '/healthz', 1_000)).toBe(983);
});

it('an address may open 1,000 connections at once, and then 100 a second', async () => {
  for (let count = 0; count < 10; count += 1) {
    const some = await openMany(100, '127.0.0.2');
    for (const socket of some) socket.destroy();
  }
  const before = refused.length;
  const waiting = ask(await open('127.0.0.2'), '/healthz', 1);
  await until(() => refused.length > before);
  expect(refused.slice(before)).toEqual(['127.0.0.2 connections']);
  expect(await ask(await open('127.0.0.3'), '/healthz', 1)).toBe(1);
  nowMs += 10;
  expect(await waiting).toBe(1);
  // Without a turn, it is closed after a second.
  expect(await ask(await open('127.0.0.2'), '/healthz', 1)).toBe(0);
});
