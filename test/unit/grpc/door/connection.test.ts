import { constants, type ServerHttp2Session } from 'node:http2';
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import { Connection } from '../../../../src/grpc/door/connection.js';

function trial() {
  const told: string[] = [];
  const session = {
    destroyed: false,
    socket: {},
    closed: false,
    goaway: (code: number) => told.push(`goaway ${code}`),
    destroy: (_error: unknown, code: number) => {
      session.destroyed = true;
      told.push(`destroy ${code}`);
    },
  };
  const connection = new Connection(session as unknown as ServerHttp2Session, new Socket(), 100, () => 0);
  return { connection, session, told };
}
const afterReceiving = () => new Promise((resolve) => setImmediate(resolve));

it('a connection is cut once, and after HTTP/2 has handled what it received', async () => {
  const { connection, told } = trial();
  connection.cut();
  connection.cut();
  await Promise.resolve();
  await new Promise<void>((resolve) => process.nextTick(resolve));
  expect(told).toEqual([]);
  await afterReceiving();
  const code = constants.NGHTTP2_ENHANCE_YOUR_CALM;
  // The GOAWAY comes first: a client in Node then ends its side at once.
  expect(told).toEqual([`goaway ${code}`, `destroy ${code}`]);
});

it('a connection whose socket has closed shows no certificate, and that is no fault', () => {
  const socket = new TLSSocket(new Socket());
  Object.assign(socket, { authorized: true });
  socket.destroy();
  const connection = new Connection({} as ServerHttp2Session, socket, 100, () => 0);
  expect(connection.certificate()).toBeUndefined();
});

it('a connection that has ended by then is not cut', async () => {
  const { connection, session, told } = trial();
  connection.cut();
  session.destroyed = true;
  await afterReceiving();
  expect(told).toEqual([]);
});

it('a cut connection is not read any further', () => {
  let reads = true;
  const { connection, session } = trial();
  Object.assign(session, { socket: { _handle: { readStop: () => (reads = false) } } });
  connection.cut();
  expect(reads).toBe(false);
});

it('a connection that has ended is cut without its socket', () => {
  const { connection, session } = trial();
  session.destroyed = true;
  Object.defineProperty(session, 'socket', {
    get: () => {
      if (session.destroyed) throw new Error('the session has ended');
      return {};
    },
  });
  connection.cut();
  expect(connection.isCut).toBe(true);
});
