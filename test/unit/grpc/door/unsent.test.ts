import { expect, it } from 'vitest';
import { RunningClock, SWEEP_EVERY_MS } from '../../../../src/grpc/door/running-clock.js';
import { ConnectionUnsent, Unsent } from '../../../../src/grpc/door/unsent.js';

/** A time without a sweep counts as at most this much. */
const COUNTED_MS = 2 * SWEEP_EVERY_MS;

function trial(bytesMax = 100) {
  let nowMs = 0;
  const running = new RunningClock({ nowMs: () => nowMs });
  const turns: (() => void)[] = [];
  const unsent = new Unsent(running, bytesMax, (turn) => turns.push(turn));
  const endTurn = () => {
    for (const turn of turns.splice(0)) turn();
  };
  const connection = () => {
    const reader = {
      taken: 0,
      isCut: false,
      bytesWritten: () => reader.taken,
      cut: () => (reader.isCut = true),
    };
    const of = new ConnectionUnsent(reader);
    const sent: string[] = [];
    const send = (name: string, bytes: number) => {
      const write = () => {
        sent.push(name);
        unsent.wrote(of, bytes);
      };
      unsent.send(of, write);
      return write;
    };
    const read = (bytes: number) => {
      unsent.read(of, bytes);
      endTurn();
    };
    return { of, reader, sent, send, read };
  };
  const standStill = (ms: number) => {
    nowMs += ms;
    running.swept();
    unsent.sweep();
  };
  const pass = (ms: number) => {
    for (let leftMs = ms; leftMs > 0; leftMs -= COUNTED_MS) standStill(Math.min(leftMs, COUNTED_MS));
  };
  return { unsent, connection, pass, standStill, endTurn };
}

it('a connection may hold as much as is free, and the rest waits in order, not encoded', () => {
  const { unsent, connection } = trial();
  const [slow, other] = [connection(), connection()];
  slow.send('a', 40);
  slow.send('b', 20);
  slow.send('c', 1);
  expect(slow.sent).toEqual(['a', 'b']);
  other.send('x', 30);
  expect(other.sent).toEqual(['x']);
  slow.read(40);
  expect(slow.sent).toEqual(['a', 'b', 'c']);
  expect(unsent.bytes).toBe(51);
});

it('the first answer of a connection is sent although others hold everything, up to twice the bound', () => {
  const { connection } = trial();
  const of = Array.from({ length: 4 }, connection);
  for (const [at, one] of of.entries()) one.send(`${at}`, 70);
  expect(of.map(({ sent }) => sent.length)).toEqual([1, 1, 1, 0]);
  of[0]?.read(9);
  expect(of[3]?.sent).toEqual([]);
  of[0]?.read(2);
  expect(of[3]?.sent).toEqual(['3']);
});

it('an answer whose caller has left is never written', () => {
  const { unsent, connection } = trial();
  const one = connection();
  one.send('a', 60);
  const write = one.send('b', 1);
  one.send('c', 1);
  unsent.forget(one.of, write);
  one.read(60);
  expect(one.sent).toEqual(['a', 'c']);
});

it('a connection whose calls all end in one turn has none of its waiting answers written', () => {
  const { unsent, connection, endTurn } = trial();
  const one = connection();
  const writes = Array.from({ length: 10 }, (_, at) => one.send(`${at}`, 50));
  expect(one.sent).toEqual(['0', '1']);
  for (const [at, write] of writes.entries()) {
    unsent.forget(one.of, write);
    if (at < 2) unsent.read(one.of, 50);
  }
  endTurn();
  expect(one.sent).toEqual(['0', '1']);
  expect(unsent.bytes).toBe(0);
});

it('cuts off a reader that takes nothing for 30 s, or for 2 s while half of the bound is taken', () => {
  const { connection, pass } = trial();
  const [idle, steady] = [connection(), connection()];
  idle.send('a', 10);
  steady.send('b', 10);
  for (let at = 0; at < 30; at += 1) {
    steady.reader.taken += 1;
    pass(1_000);
  }
  expect([idle.reader.isCut, steady.reader.isCut]).toEqual([false, false]);
  pass(1);
  expect([idle.reader.isCut, steady.reader.isCut]).toEqual([true, false]);
  connection().send('much', 90);
  pass(1_998);
  expect(steady.reader.isCut).toBe(false);
  pass(2);
  expect(steady.reader.isCut).toBe(true);
});

it('forgets a connection whose answers were read', () => {
  const { connection, pass } = trial();
  const one = connection();
  one.send('a', 10);
  one.read(10);
  pass(60_000);
  expect(one.reader.isCut).toBe(false);
});

it('does not blame readers for the time in which this process was blocked', () => {
  const { connection, pass, standStill } = trial();
  const one = connection();
  one.send('a', 90);
  standStill(60_000);
  pass(2_000 - COUNTED_MS);
  expect(one.reader.isCut).toBe(false);
  pass(1);
  expect(one.reader.isCut).toBe(true);
});
