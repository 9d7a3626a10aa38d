import type { ServerHttp2Session } from 'node:http2';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { CallTurns } from '../../../../src/grpc/door/call-turns.js';
import { Connection } from '../../../../src/grpc/door/connection.js';

function trial() {
  const begun: string[] = [];
  const reset: Connection[] = [];
  const turns: (() => void)[] = [];
  const calls = new CallTurns(
    (connection) => reset.push(connection),
    (turn) => turns.push(turn),
  );
  const connect = () => {
    const session = { destroyed: false, settings: () => {}, destroy: () => {}, goaway: () => {}, socket: {} };
    return new Connection(session as unknown as ServerHttp2Session, new Socket(), 1_000, () => 0);
  };
  const come = (connection: Connection, name: string) => {
    const stream = { closed: false, destroyed: false };
    calls.add(connection, { stream, begin: () => begun.push(name) });
    return stream;
  };
  /** Ends a turn of the event loop. Returns the calls that began in it. */
  const turn = () => {
    begun.length = 0;
    for (const end of turns.splice(0)) end();
    return [...begun];
  };
  return { calls, reset, connect, come, turn };
}

describe('calls of an untrusted connection', () => {
  it('begin at the end of the turn, eight in each, and connections alternate', () => {
    const { connect, come, turn } = trial();
    const [many, few] = [connect(), connect()];
    for (let at = 0; at < 10; at += 1) come(many, `many ${at}`);
    for (let at = 0; at < 2; at += 1) come(few, `few ${at}`);
    const first = turn();
    expect(first.slice(0, 5)).toEqual(['many 0', 'few 0', 'many 1', 'few 1', 'many 2']);
    expect(first).toHaveLength(8);
    expect(turn()).toHaveLength(4);
    expect(turn()).toEqual([]);
  });

  it('never begin if they were reset by then, and each reset counts', () => {
    const { connect, come, reset, turn } = trial();
    const connection = connect();
    const streams = Array.from({ length: 3 }, (_, at) => come(connection, `${at}`));
    for (const stream of streams.slice(0, 2)) stream.closed = true;
    expect(turn()).toEqual(['2']);
    expect(reset).toEqual([connection, connection]);
  });

  it('that were reset are dropped in the turn in which they came once a hundred wait', () => {
    const { connect, come, reset } = trial();
    const connection = connect();
    for (let at = 0; at < 100; at += 1) come(connection, `${at}`).closed = true;
    expect(reset).toHaveLength(0);
    come(connection, 'one more');
    expect(reset).toHaveLength(100);
  });

  it('never begin if the connection is cut meanwhile', () => {
    const { connect, come, turn } = trial();
    const [cut, other] = [connect(), connect()];
    come(cut, 'of the one that is cut');
    come(other, 'of the other');
    cut.cut();
    expect(turn()).toEqual(['of the other']);
  });
});

describe('calls of a trusted connection', () => {
  const trust = (connection: Connection) => {
    connection.admitted();
    return connection;
  };

  it('begin at once, 256 in a turn over all connections, and the rest in the next', () => {
    const { calls, connect, come, turn } = trial();
    const [many, other] = [trust(connect()), trust(connect())];
    for (let at = 0; at < 256; at += 1) expect(calls.take(many)).toBe(true);
    expect([many, other].map((connection) => calls.take(connection))).toEqual([false, false]);
    for (let at = 0; at < 300; at += 1) come(many, `many ${at}`);
    come(other, 'other');
    const next = turn();
    expect(next).toHaveLength(256);
    expect(next.slice(0, 3)).toEqual(['many 0', 'other', 'many 1']);
    // New calls come after the waiting ones, even if there is room.
    expect([many, other].map((connection) => calls.take(connection))).toEqual([false, false]);
    expect(turn()).toHaveLength(45);
    expect([many, other].map((connection) => calls.take(connection))).toEqual([true, true]);
    turn();
    for (let at = 0; at < 256; at += 1) expect(calls.take(other)).toBe(true);
  });

  it('are dropped if they were cancelled while they waited, and that does not count', () => {
    const { connect, come, reset, turn } = trial();
    const connection = trust(connect());
    for (let at = 0; at < 200; at += 1) come(connection, `${at}`).closed = true;
    come(connection, 'the last');
    expect(turn()).toEqual(['the last']);
    expect(reset).toEqual([]);
  });

  it('wait behind calls from before the trust, and wait again once one was refused', () => {
    const { calls, connect, come, turn } = trial();
    const connection = connect();
    expect(calls.take(connection)).toBe(false);
    come(connection, 'first');
    connection.admitted();
    expect(calls.take(connection)).toBe(false);
    turn();
    expect(calls.take(connection)).toBe(true);
    connection.refused();
    expect(calls.take(connection)).toBe(false);
  });
});
