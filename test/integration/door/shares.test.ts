import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Beside, isServed } from '../../support/beside.js';
import { Caller } from '../../support/caller.js';
import { Replica } from '../../support/replica.js';

// One address opens as many connections as it can. Set DIBS_TEST_MAIN to measure another build.

const MAIN = process.env.DIBS_TEST_MAIN ?? 'dist/main.js';
let replica: Replica;
let beside: Beside;
beforeAll(async () => {
  replica = await Replica.start({ DIBS_CONNECTIONS: '200' }, MAIN);
  beside = await Beside.start(replica);
});
afterAll(async () => {
  beside?.close();
  await replica?.kill();
});

it('one address gets half of the connections, and a new client is served', async () => {
  const [host = '', port = ''] = replica.target.split(':');
  const sockets: Socket[] = [];
  const seen = await beside.during('300 connections of one address', async () => {
    for (let at = 0; at < 300; at += 1) {
      // Another address of this machine.
      const socket = connect({ host, port: Number(port), localAddress: '127.0.0.2' });
      socket.on('error', () => {});
      sockets.push(socket);
    }
    await sleep(1_000);
    const newcomer = new Caller(replica.target);
    await newcomer.connect();
    await newcomer.getOrLock({ key: Beside.key });
    newcomer.close();
  });
  const open = () => sockets.filter((socket) => !socket.destroyed && socket.readyState === 'open').length;
  await expect.poll(open).toBeLessThanOrEqual(100);
  console.log(`open of 300: ${open()}`);
  expect(open()).toBeGreaterThan(90);
  expect(seen).toSatisfy(isServed);
  for (const socket of sockets) socket.destroy();
});
