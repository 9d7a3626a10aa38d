import type { ServerHttp2Session } from 'node:http2';
import { expect, it } from 'vitest';
import { Connection } from '../../../../src/grpc/door/connection.js';
import { UntrustedCalls } from '../../../../src/grpc/door/untrusted-calls.js';

function trial() {
  const begun: string[] = [];
  const reset: Connection[] = [];
  const turns: (() => void)[] = [];
  const calls = new UntrustedCalls(
    (connection) => reset.push(connection),
    (turn) => turns.push(turn),
  );
  const connect = () => {
    const session = { destroyed: false, settings: () => {}, destroy: () => {}, goaway: () => {}, socket: {} };
    return new Connection(session as unknown as ServerHttp2Session, 1_000, () => 0);
  };
  const come = (connection: Connection, name: string) => {
    const stream = { closed: false, destroyed: false };
    calls.add(connection, { stream, begin: () => begun.push(name) });
    return stream;
  };
  /** Ends a turn of the event loop, and says what began in it. */
  const turn = () => {
    begun.length = 0;
    for (const end of turns.splice(0)) end();
    return [...begun];
  };
  return { calls, reset, connect, come, turn };
}

it('begin at the end of the turn, 32 in each, and the connections take turns', () => {
  const { connect, come, turn } = trial();
  const [many, few] = [connect(), connect()];
  for (let at = 0; at < 40; at += 1) come(many, `many ${at}`);
  for (let at = 0; at < 2; at += 1) come(few, `few ${at}`);
  const first = turn();
  expect(first.slice(0, 5)).toEqual(['many 0', 'few 0', 'many 1', 'few 1', 'many 2']);
  expect(first).toHaveLength(32);
  expect(turn()).toHaveLength(10);
  expect(turn()).toEqual([]);
});

it('never begin if they were reset by then, and each of them counts', () => {
  const { connect, come, reset, turn } = trial();
  const connection = connect();
  const streams = Array.from({ length: 3 }, (_, at) => come(connection, `${at}`));
  for (const stream of streams.slice(0, 2)) stream.closed = true;
  expect(turn()).toEqual(['2']);
  expect(reset).toEqual([connection, connection]);
});

it('that were reset are found in the turn in which they came, once a hundred wait', () => {
  const { connect, come, reset } = trial();
  const connection = connect();
  for (let at = 0; at < 100; at += 1) come(connection, `${at}`).closed = true;
  expect(reset).toHaveLength(0);
  come(connection, 'one more');
  expect(reset).toHaveLength(100);
});

it('of a connection that is cut meanwhile never begin', () => {
  const { connect, come, turn } = trial();
  const [cut, other] = [connect(), connect()];
  come(cut, 'of the one that is cut');
  come(other, 'of the other');
  cut.cut();
  expect(turn()).toEqual(['of the other']);
});

it('are those of a connection without an admitted caller, with a refused one, or behind others', () => {
  const { calls, connect, come, turn } = trial();
  const connection = connect();
  expect(calls.holds(connection)).toBe(true);
  come(connection, 'first');
  connection.admitted();
  expect(calls.holds(connection)).toBe(true);
  turn();
  expect(calls.holds(connection)).toBe(false);
  connection.refused();
  expect(calls.holds(connection)).toBe(true);
});
