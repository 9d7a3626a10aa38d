import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { HttpServer } from '../../../src/http/server.js';
import { HTTP_OPTIONS } from '../../support/http-options.js';
import { until } from '../../support/until.js';

let server: HttpServer;
let opened: Socket[] = [];
beforeEach(async () => {
  opened = [];
  server = await HttpServer.bind({
    ...HTTP_OPTIONS,
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
