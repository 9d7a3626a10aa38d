import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, it } from 'vitest';
import { Listeners } from '../../../src/workers/listeners.js';
import { until } from '../../support/until.js';

const folder = mkdtempSync(join(tmpdir(), 'dibs-listeners-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function opened(listen: readonly string[]) {
  const accepted: { socket: Socket; address: string }[] = [];
  const listeners = await Listeners.open(listen, (socket, address) => {
    accepted.push({ socket, address });
    closing.push(() => socket.destroy());
  });
  closing.push(() => listeners.close());
  return { listeners, accepted };
}

function connected(to: { port: number; host: string } | { path: string }): Socket {
  const socket = connect(to as { port: number });
  socket.on('error', () => {});
  closing.push(() => socket.destroy());
  return socket;
}

it('listens at each address, and passes on the address of a connection', async () => {
  const path = join(folder, 'a.sock');
  const listen = ['127.0.0.1:0', '[::1]:0', `unix://${path}`];
  const { listeners, accepted } = await opened(listen);
  const [ipv4 = '', ipv6 = '', socket] = listeners.addresses;
  expect([ipv4, ipv6, socket].join(' ')).toMatch(/^127\.0\.0\.1:[1-9]\d* \[::1\]:[1-9]\d* unix:\/\//);
  connected({ host: '127.0.0.1', port: Number(ipv4.split(':').at(-1)) });
  await until(() => accepted.length === 1);
  connected({ host: '::1', port: Number(ipv6.split(':').at(-1)) });
  await until(() => accepted.length === 2);
  connected({ path });
  await until(() => accepted.length === 3);
  expect(accepted.map(({ address }) => address)).toEqual(listen);
});

it('reads nothing from a connection', async () => {
  const { listeners, accepted } = await opened(['127.0.0.1:0']);
  const client = connected({ host: '127.0.0.1', port: Number(listeners.addresses[0]?.split(':')[1]) });
  client.write('first bytes');
  await until(() => accepted.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(accepted[0]?.socket.bytesRead).toBe(0);
});

it('uses one port for all addresses of a name', async () => {
  const { listeners } = await opened(['localhost:0']);
  expect(listeners.addresses).toEqual([expect.stringMatching(/^localhost:[1-9]\d*$/)]);
});

it('leaves nothing open if an address is taken, and names that address', async () => {
  const taken = await opened(['127.0.0.1:0']);
  const [address = ''] = taken.listeners.addresses;
  const path = join(folder, 'b.sock');
  await expect(opened([`unix://${path}`, address])).rejects.toThrow(`cannot listen at ${address}: `);
  // The path is free again.
  await opened([`unix://${path}`]);
});

it('no longer listens once it is closed', async () => {
  const { listeners, accepted } = await opened(['127.0.0.1:0']);
  listeners.close();
  const client = connected({ host: '127.0.0.1', port: Number(listeners.addresses[0]?.split(':')[1]) });
  await until(() => client.destroyed);
  expect(accepted).toEqual([]);
});
