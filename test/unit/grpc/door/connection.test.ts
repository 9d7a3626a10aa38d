import { constants, type ServerHttp2Session } from 'node:http2';
import { expect, it } from 'vitest';
import { Connection } from '../../../../src/grpc/door/connection.js';

function trial() {
  const told: string[] = [];
  const session = {
    destroyed: false,
    closed: false,
    goaway: (code: number) => told.push(`goaway ${code}`),
    destroy: (_error: unknown, code: number) => {
      session.destroyed = true;
      told.push(`destroy ${code}`);
    },
  };
  const connection = new Connection(session as unknown as ServerHttp2Session, 100, () => 0);
  return { connection, session, told };
}
const afterReceiving = () => new Promise((resolve) => setImmediate(resolve));

it('is cut after what HTTP/2 is receiving, not within, and once', async () => {
  const { connection, told } = trial();
  connection.cut();
  connection.cut();
  await Promise.resolve();
  await new Promise<void>((resolve) => process.nextTick(resolve));
  expect(told).toEqual([]);
  await afterReceiving();
  const code = constants.NGHTTP2_ENHANCE_YOUR_CALM;
  // The GOAWAY first: a client in Node then ends its side at once.
  expect(told).toEqual([`goaway ${code}`, `destroy ${code}`]);
});

it('is not cut if it has ended by then', async () => {
  const { connection, session, told } = trial();
  connection.cut();
  session.destroyed = true;
  await afterReceiving();
  expect(told).toEqual([]);
});
