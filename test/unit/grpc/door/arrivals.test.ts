import { expect, it } from 'vitest';
import { Arrivals, ConnectionArrivals } from '../../../../src/grpc/door/arrivals.js';
import { RunningClock, SWEEP_EVERY_MS } from '../../../../src/grpc/door/running-clock.js';

function trial(bytesMax = 1_000) {
  let nowMs = 0;
  const running = new RunningClock({ nowMs: () => nowMs });
  const arrivals = new Arrivals(running, bytesMax);
  const begin = (of: ConnectionArrivals) => {
    const told = { reads: true, late: 0 };
    const stream = {
      pause: () => {
        told.reads = false;
      },
      resume: () => {
        told.reads = true;
      },
    };
    const arrival = arrivals.begin(of, stream, () => {
      told.late += 1;
      arrivals.end(arrival);
    });
    return Object.assign(told, {
      receive: (bytes: number) => arrivals.received(arrival, bytes),
      end: () => arrivals.end(arrival),
    });
  };
  const standStill = (ms: number) => {
    nowMs += ms;
    running.swept();
    arrivals.sweep();
  };
  const pass = (ms: number) => {
    for (let leftMs = ms; leftMs > 0; leftMs -= SWEEP_EVERY_MS) standStill(Math.min(leftMs, SWEEP_EVERY_MS));
  };
  return { arrivals, begin, pass, standStill };
}

it('a connection that holds more than what is left receives one request at a time', () => {
  const { arrivals, begin } = trial();
  const [mine, other] = [new ConnectionArrivals(), new ConnectionArrivals()];
  const [first, second, third] = [begin(mine), begin(mine), begin(mine)];
  first.receive(400);
  second.receive(200);
  expect([first.reads, second.reads]).toEqual([true, false]);
  third.receive(1);
  expect(third.reads).toBe(false);
  // Other connections are not delayed.
  const another = begin(other);
  another.receive(300);
  expect(another.reads).toBe(true);
  another.end();
  first.receive(100);
  expect(first.reads).toBe(true);
  first.end();
  expect([second.reads, third.reads]).toEqual([true, true]);
  second.end();
  third.end();
  expect(arrivals.bytes).toBe(0);
});

it('beyond the bound of all connections, only the oldest request is received', () => {
  const { begin } = trial(100);
  const of = Array.from({ length: 3 }, () => begin(new ConnectionArrivals()));
  for (const one of of) one.receive(60);
  expect(of.map(({ reads }) => reads)).toEqual([true, false, false]);
  of[0]?.end();
  expect(of.map(({ reads }) => reads)).toEqual([true, true, false]);
});

it('a request has ten seconds plus the time for its bytes at 64 KB a second', () => {
  const { begin, pass } = trial(1_000_000);
  const of = new ConnectionArrivals();
  const [idle, steady] = [begin(of), begin(of)];
  steady.receive(64_000);
  pass(10_000);
  expect(idle.late).toBe(0);
  pass(1);
  expect(idle.late).toBe(1);
  pass(999);
  expect(steady.late).toBe(0);
  pass(1);
  expect(steady.late).toBe(1);
});

it('the time in which a request is not received does not count', () => {
  const { begin, pass } = trial(100);
  const of = new ConnectionArrivals();
  const first = begin(of);
  const waits = begin(of);
  first.receive(50);
  waits.receive(10);
  expect(waits.reads).toBe(false);
  pass(5_000);
  pass(5_001);
  expect([first.late, waits.late]).toEqual([1, 0]);
  expect(waits.reads).toBe(true);
  pass(10_000);
  expect(waits.late).toBe(0);
  pass(1);
  expect(waits.late).toBe(1);
});

it('the time in which this process was blocked does not count, because what came meanwhile is not read yet', () => {
  const { begin, pass, standStill } = trial();
  const request = begin(new ConnectionArrivals());
  standStill(60_000);
  pass(10_000 - 2 * SWEEP_EVERY_MS);
  expect(request.late).toBe(0);
  pass(1);
  expect(request.late).toBe(1);
});

it('a connection is full if its waiting requests could hold twice the bound', () => {
  const { arrivals, begin } = trial(100_000);
  const of = new ConnectionArrivals();
  begin(of).receive(60_000);
  begin(of).receive(1_000);
  expect(arrivals.isFull(of)).toBe(false);
  begin(of).receive(1_000);
  expect(arrivals.isFull(of)).toBe(false);
  begin(of).receive(10_000);
  expect(arrivals.isFull(of)).toBe(true);
  expect(arrivals.isFull(new ConnectionArrivals())).toBe(false);
});
