import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { HeldOff } from '../../../src/access/held-off.js';
import { opened } from '../../support/opened.js';
import { until } from '../../support/until.js';

const { closes } = opened();
let sockets: Socket[] = [];
afterEach(() => {
  sockets = [];
});

/** Sockets of a server, in the order in which they came. */
async function accepted(count: number): Promise<Socket[]> {
  const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
  closes(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  for (let came = 1; came <= count; came += 1) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    closes(() => socket.destroy());
    await until(() => sockets.length === came);
  }
  return sockets;
}

it('closes a connection after a while, and those beyond its bound at once', async () => {
  const held = new HeldOff(2);
  const [one, two, three] = (await accepted(3)) as [Socket, Socket, Socket];
  for (const socket of [one, two, three]) held.hold(socket);
  expect([one.destroyed, two.destroyed, three.destroyed]).toEqual([false, false, true]);
  await until(() => one.destroyed && two.destroyed);
});

it('releases those that may come, the oldest first, and closes them no more', async () => {
  const held = new HeldOff(3);
  const [one, two, three] = (await accepted(3)) as [Socket, Socket, Socket];
  for (const socket of [one, two, three]) held.hold(socket);
  two.destroy();
  expect(held.release(() => true)).toEqual([one, three]);
  expect(held.release(() => true)).toEqual([]);
  expect(one.listenerCount('error')).toBe(0);
});
