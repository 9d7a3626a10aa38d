import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { InPieces, PieceTurns } from '../../../../src/grpc/door/in-pieces.js';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** Two ends of one connection. The second one is received in pieces. */
async function trial(turns = new PieceTurns()) {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = connect({ port, host: '127.0.0.1' });
  const [socket] = (await once(server, 'connection')) as [Socket];
  closing.push(
    () => client.destroy(),
    () => socket.destroy(),
    () => server.close(),
  );
  client.on('error', () => {});
  return { client, socket, pieces: new InPieces(socket, turns) };
}

it('passes on everything, 2 KiB in each turn of the event loop', async () => {
  const { client, pieces } = await trial();
  const sent = Buffer.from(Array.from({ length: 300_001 }, (_, at) => at % 251));
  const received: Buffer[] = [];
  let turns = 0;
  let isOver = false;
  const counting = (async () => {
    for (; !isOver; turns += 1) await nextTurn();
  })();
  pieces.on('data', (piece: Buffer) => received.push(piece));
  client.end(sent);
  await once(pieces, 'end');
  isOver = true;
  await counting;
  expect(Buffer.concat(received).equals(sent)).toBe(true);
  expect(Math.max(...received.map((piece) => piece.byteLength))).toBe(2_048);
  expect(turns).toBeGreaterThanOrEqual(received.length);
});

it('takes turns with other connections: one piece in each turn, in the order in which they ask', async () => {
  const turns = new PieceTurns();
  const pieces: string[] = [];
  const hand = (name: string, left: number) => () => {
    pieces.push(name);
    if (left > 1) turns.ask(hand(name, left - 1));
  };
  const once = hand('c', 1);
  turns.ask(hand('a', 2));
  turns.ask(hand('b', 2));
  turns.ask(once);
  turns.ask(once);
  const after: number[] = [];
  for (let turn = 0; turn < 6; turn += 1) {
    await nextTurn();
    after.push(pieces.length);
  }
  expect(pieces.join('')).toBe('abcab');
  expect(after.every((length, at) => length - (after[at - 1] ?? 0) <= 1)).toBe(true);
});

it('passes on nothing while it is paused', async () => {
  const { client, pieces } = await trial();
  let bytes = 0;
  pieces.on('data', (piece: Buffer) => {
    bytes += piece.byteLength;
    pieces.pause();
  });
  client.write(Buffer.alloc(10_000));
  await expect.poll(() => bytes).toBe(2_048);
  for (let count = 0; count < 20; count += 1) await nextTurn();
  expect(bytes).toBe(2_048);
  pieces.resume();
  await expect.poll(() => bytes).toBe(4_096);
});

it('writes in order, and then ends its side', async () => {
  const { client, pieces } = await trial();
  const received: Buffer[] = [];
  client.on('data', (bytes: Buffer) => received.push(bytes));
  pieces.cork();
  pieces.write('one ');
  pieces.write('two ');
  pieces.uncork();
  pieces.end('three');
  await once(client, 'end');
  expect(Buffer.concat(received).toString()).toBe('one two three');
});

it('closes its socket when it is destroyed, and is destroyed when its socket closes', async () => {
  const one = await trial();
  one.pieces.destroy();
  await once(one.client, 'close');
  const other = await trial();
  const closed = new Promise((resolve) => other.pieces.on('close', resolve));
  other.pieces.on('error', () => {});
  other.client.resetAndDestroy();
  other.pieces.resume();
  await closed;
  expect(other.socket.destroyed).toBe(true);
});
