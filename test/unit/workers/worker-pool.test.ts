import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ToMain, ToWorker } from '../../../src/workers/messages.js';
import { PINGS_MISSED_MAX, START_PINGS_MISSED_MAX } from '../../../src/workers/worker.js';
import { PAUSE_MS_FIRST, PAUSE_MS_MAX, STEADY_MS, WorkerPool } from '../../../src/workers/worker-pool.js';

/** A worker's process that does only what the test tells it. */
class FakeChild extends EventEmitter {
  readonly pid = 1;
  connected = true;
  readonly heard: ToWorker[] = [];
  readonly sockets: unknown[] = [];
  broken: Error | null = null;

  constructor(readonly worker: number) {
    super();
  }

  send(message: ToWorker, ...rest: unknown[]): void {
    this.heard.push(message);
    const done = rest.at(-1) as (error: Error | null) => void;
    if (rest.length > 1) this.sockets.push(rest[0]);
    done(this.broken);
  }

  kill(): void {
    this.ends(null, 'SIGKILL');
  }

  says(message: ToMain): void {
    this.emit('message', message);
  }

  ends(code: number | null, signal: string | null = null): void {
    if (!this.connected) return;
    this.connected = false;
    this.emit('exit', code, signal);
  }

  kinds(): string[] {
    return this.heard.map(({ kind }) => kind).filter((kind) => kind !== 'ping');
  }
}

let forked: FakeChild[];
let told: unknown[][];
let pool: WorkerPool;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
  forked = [];
  told = [];
  pool = new WorkerPool({
    workers: 2,
    fork: (worker) => {
      const child = new FakeChild(worker);
      forked.push(child);
      return child as unknown as ChildProcess;
    },
    observer: {
      ended: (...args) => told.push(['ended', ...args]),
      servesAgain: (...args) => told.push(['serves again', ...args]),
      silent: (...args) => told.push(['silent', ...args]),
    },
  });
});
afterEach(() => vi.useRealTimers());

const last = (worker: number) => forked.findLast((child) => child.worker === worker) as FakeChild;

async function started(): Promise<void> {
  const starting = pool.start();
  for (const child of forked) child.says({ kind: 'serving' });
  await starting;
}

/** Lets time pass while these workers answer their pings. */
async function advance(ms: number, ...alive: number[]): Promise<void> {
  for (let at = 0; at < ms; at += 1_000) {
    for (const worker of alive) last(worker).says({ kind: 'pong' });
    await vi.advanceTimersByTimeAsync(Math.min(1_000, ms - at));
  }
}

const socketOf = () => new PassThrough() as unknown as Socket;

describe('a start', () => {
  it('ends when all workers serve', async () => {
    let over = false;
    const starting = pool.start().then(() => {
      over = true;
    });
    last(1).says({ kind: 'serving' });
    await vi.advanceTimersByTimeAsync(10);
    expect([over, pool.serving]).toEqual([false, 1]);
    last(2).says({ kind: 'serving' });
    await starting;
    expect(told).toEqual([]);
  });

  it('fails with the first worker that ends, and ends the others', async () => {
    const starting = pool.start();
    last(1).says({ kind: 'serving' });
    last(2).ends(1);
    const failing = expect(starting).rejects.toThrow('worker 2 ended with 1');
    await vi.advanceTimersByTimeAsync(1);
    await failing;
    expect(last(1).connected).toBe(false);
    await vi.advanceTimersByTimeAsync(PAUSE_MS_MAX);
    expect(forked).toHaveLength(2);
  });
});

describe('a connection', () => {
  it('goes to the worker with the fewest connections', async () => {
    await started();
    for (let at = 0; at < 4; at += 1) pool.pass(socketOf(), '127.0.0.1:0');
    expect([last(1).sockets.length, last(2).sockets.length]).toEqual([2, 2]);
    last(2).says({ kind: 'closed' });
    pool.pass(socketOf(), '127.0.0.1:0');
    expect([last(1).sockets.length, last(2).sockets.length]).toEqual([2, 3]);
    expect(last(2).heard).toContainEqual({ kind: 'connection', address: '127.0.0.1:0' });
  });

  it('goes to no worker that drains, starts or has ended, and is closed if there is no other', async () => {
    await started();
    last(1).says({ kind: 'enough' });
    pool.pass(socketOf(), 'a');
    expect([last(1).sockets.length, last(2).sockets.length]).toEqual([0, 1]);
    last(2).ends(null, 'SIGKILL');
    const socket = socketOf();
    pool.pass(socket, 'a');
    expect(socket.destroyed).toBe(true);
  });

  it('is closed and not counted if its worker ends before receiving it', async () => {
    await started();
    last(1).broken = new Error('closed');
    const socket = socketOf();
    pool.pass(socket, 'a');
    expect(socket.destroyed).toBe(true);
    last(1).broken = null;
    pool.pass(socketOf(), 'a');
    expect(last(1).sockets).toHaveLength(2);
  });
});

describe('a worker that ends', () => {
  it('is restarted after a pause that doubles up to a bound, and is short again after steady service', async () => {
    await started();
    const pauses: number[] = [];
    for (let at = 0; at < 11; at += 1) {
      last(1).ends(null, 'SIGKILL');
      const pauseMs = told.at(-1)?.[3] as number;
      pauses.push(pauseMs);
      const before = forked.length;
      await advance(pauseMs - 1, 2);
      expect(forked).toHaveLength(before);
      await advance(1, 2);
      expect(forked).toHaveLength(before + 1);
    }
    expect(pauses.slice(0, 4)).toEqual([1, 2, 4, 8].map((times) => times * PAUSE_MS_FIRST));
    expect(pauses.slice(-2)).toEqual([PAUSE_MS_MAX, PAUSE_MS_MAX]);
    expect(pool.restarts).toBe(11);
    const serveFor = async (ms: number) => {
      last(1).says({ kind: 'serving' });
      await advance(ms, 1, 2);
      last(1).ends(null, 'SIGKILL');
      return told.at(-1)?.[3];
    };
    expect(await serveFor(STEADY_MS - 1)).toBe(PAUSE_MS_MAX);
    await advance(PAUSE_MS_MAX, 2);
    expect(await serveFor(STEADY_MS)).toBe(PAUSE_MS_FIRST);
  });

  it('is reported, and so is its return', async () => {
    await started();
    last(2).ends(3);
    expect(told).toEqual([['ended', 2, { code: 3, signal: null }, PAUSE_MS_FIRST]]);
    expect(pool.serving).toBe(1);
    await vi.advanceTimersByTimeAsync(PAUSE_MS_FIRST);
    last(2).says({ kind: 'serving' });
    expect(told.at(-1)).toEqual(['serves again', 2]);
    expect(pool.serving).toBe(2);
  });

  it('leaves open questions unanswered, even in its next run', async () => {
    await started();
    const asked = pool.askAll('metrics', 1_000);
    const [first] = [last(1)];
    last(2).says({ kind: 'answer', id: 1, answer: 'text' });
    first.ends(null, 'SIGKILL');
    expect(await asked).toEqual([
      { worker: 1, run: 1, answer: undefined },
      { worker: 2, run: 1, answer: 'text' },
    ]);
    await vi.advanceTimersByTimeAsync(PAUSE_MS_FIRST);
    last(2).says({ kind: 'pong' });
    const again = pool.askAll('metrics', 1_000);
    await vi.advanceTimersByTimeAsync(1_000);
    expect((await again).map(({ run, answer }) => [run, answer])).toEqual([
      [2, undefined],
      [1, undefined],
    ]);
  });
});

describe('a worker with a blocked event loop', () => {
  it('is killed after a number of missed pings, and not before', async () => {
    await started();
    await advance(PINGS_MISSED_MAX * 1_000, 2);
    expect(told).toEqual([]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(told.map(([what, worker]) => [what, worker])).toEqual([
      ['silent', 1],
      ['ended', 1],
    ]);
  });
});

describe('a worker that has not been heard since its start', () => {
  it('is killed later, because a busy machine loads its code slowly', async () => {
    await started();
    last(1).ends(null, 'SIGKILL');
    await vi.advanceTimersByTimeAsync(PAUSE_MS_FIRST);
    await advance(START_PINGS_MISSED_MAX * 1_000, 2);
    expect(told.map(([what]) => what)).toEqual(['ended']);
    await advance(1_000, 2);
    expect(told.map(([what]) => what)).toEqual(['ended', 'silent', 'ended']);
  });
});

describe('a stop', () => {
  it('ends when all workers have ended, and reports when no worker takes connections any more', async () => {
    await started();
    let drained = 0;
    const stopping = pool.stop(10_000, () => {
      drained += 1;
    });
    expect(last(1).kinds()).toEqual(['stop']);
    last(1).says({ kind: 'enough' });
    expect(drained).toBe(0);
    last(2).says({ kind: 'enough' });
    expect(drained).toBe(1);
    last(1).ends(0);
    last(2).ends(0);
    expect(await stopping).toEqual([]);
    expect([drained, told]).toEqual([1, []]);
  });

  it('names the workers that failed or had to be killed', async () => {
    await started();
    const stopping = pool.stop(10_000);
    last(1).ends(1);
    await vi.advanceTimersByTimeAsync(9_999);
    expect(last(2).connected).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(await stopping).toEqual([1, 2]);
  });

  it('restarts no worker', async () => {
    await started();
    last(1).ends(null, 'SIGKILL');
    const stopping = pool.stop(10_000);
    last(2).ends(0);
    expect(await stopping).toEqual([]);
    await vi.advanceTimersByTimeAsync(PAUSE_MS_MAX);
    expect(forked).toHaveLength(2);
  });
});
