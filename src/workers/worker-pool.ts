import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Asked } from './messages.js';
import { Worker, type WorkerEnd } from './worker.js';

/** Receives events of the workers. */
export interface WorkersObserver {
  /** It is started again after `pauseMs`. */
  ended(worker: number, end: WorkerEnd, pauseMs: number): void;
  /** It serves again after an end. */
  servesAgain(worker: number): void;
  silent(worker: number): void;
}

export interface WorkerPoolParts {
  readonly workers: number;
  readonly observer: WorkersObserver;
  /** Starts the process of this worker. Only tests have another one. */
  fork?(worker: number): ChildProcess;
}

/** Limits of the pause before a worker is started again; it doubles each time. */
export const PAUSE_MS_FIRST = 100;
export const PAUSE_MS_MAX = 30_000;
/** A worker that has served this long counts as healthy: after its next end, the pause starts at the minimum again. */
export const STEADY_MS = 60_000;

/** The worker's entry point, beside the one of the main process. */
const ENTRY = new URL('../worker.js', import.meta.url);

/** The workers of one main process. A worker that ends is started again; the others continue. */
export class WorkerPool {
  /** How often a worker was started again. */
  restarts = 0;
  readonly #workers: readonly Worker[];
  readonly #pausesMs = new Map<number, number>();
  readonly #restarting = new Map<number, NodeJS.Timeout>();
  #stop: { readonly failed: number[]; changed(): void } | undefined;
  /** The first start, which needs all workers to serve. */
  #started: { resolve(): void; reject(error: Error): void } | undefined;

  constructor(private readonly parts: WorkerPoolParts) {
    this.#workers = Array.from({ length: parts.workers }, (_, at) => this.#workerOf(at + 1));
  }

  /** How many accept connections. */
  get serving(): number {
    return this.#workers.filter(({ state }) => state === 'serving').length;
  }

  get size(): number {
    return this.#workers.length;
  }

  /** Resolves when all serve. If one ends before, ends the others and rejects. */
  async start(): Promise<void> {
    const started = new Promise<void>((resolve, reject) => {
      this.#started = { resolve, reject };
    });
    for (const worker of this.#workers) worker.start();
    try {
      await started;
    } catch (error) {
      await this.stop(0);
      throw error;
    } finally {
      this.#started = undefined;
    }
  }

  /**
   * Passes a connection to the worker with the fewest. So a restarted worker gets most of the new connections. If no
   * worker serves, closes the connection, and the client tries again.
   */
  pass(socket: Socket, address: string): void {
    let fewest: Worker | undefined;
    for (const worker of this.#workers) {
      if (worker.state !== 'serving') continue;
      if (fewest === undefined || worker.connections < fewest.connections) fewest = worker;
    }
    if (fewest === undefined) socket.destroy();
    else fewest.pass(socket, address);
  }

  /** What each worker answers within `msMax`; undefined from one that does not. */
  askAll(what: Asked, msMax: number) {
    return Promise.all(
      this.#workers.map(async (worker) => {
        const { number, run } = worker;
        return { worker: number, run, answer: await worker.ask(what, msMax) };
      }),
    );
  }

  reload(): void {
    for (const worker of this.#workers) worker.tell('reload');
  }

  /**
   * Drains all. Calls `drained` once none accepts connections. Resolves with those that did not exit with code 0 within
   * `msMax`: they were killed, or failed.
   */
  async stop(msMax: number, drained = () => {}): Promise<readonly number[]> {
    for (const timer of this.#restarting.values()) clearTimeout(timer);
    const failed: number[] = [];
    const kill = setTimeout(() => this.kill(), msMax);
    await new Promise<void>((resolve) => {
      let told = false;
      const changed = () => {
        const states = this.#workers.map(({ state }) => state);
        if (!told && states.every((state) => state === 'draining' || state === 'ended')) {
          told = true;
          drained();
        }
        if (states.every((state) => state === 'ended')) resolve();
      };
      this.#stop = { failed, changed };
      for (const worker of this.#workers) worker.tell('stop');
      changed();
    });
    clearTimeout(kill);
    return failed;
  }

  /** Ends all at once. */
  kill(): void {
    for (const worker of this.#workers) worker.kill();
  }

  #workerOf(number: number): Worker {
    const { observer } = this.parts;
    const forked = this.parts.fork ?? ((worker: number) => fork(ENTRY, [String(worker)]));
    const worker: Worker = new Worker({
      number,
      fork: forked,
      drains: () => this.#stop?.changed(),
      serves: () => {
        if (worker.run > 1) observer.servesAgain(number);
        if (this.serving === this.size) this.#started?.resolve();
      },
      ended: (end, servedMs) => this.#ended(worker, end, servedMs),
      silent: () => observer.silent(number),
    });
    return worker;
  }

  #ended(worker: Worker, end: WorkerEnd, servedMs: number): void {
    const { number } = worker;
    if (this.#stop !== undefined) {
      if (end.code !== 0) this.#stop.failed.push(number);
      this.#stop.changed();
      return;
    }
    if (this.#started !== undefined) {
      this.#started.reject(
        new Error(`worker ${number} ended with ${end.signal ?? end.code}; its own line says why`),
      );
      return;
    }
    const before = servedMs >= STEADY_MS ? undefined : this.#pausesMs.get(number);
    const pauseMs = before === undefined ? PAUSE_MS_FIRST : Math.min(2 * before, PAUSE_MS_MAX);
    this.#pausesMs.set(number, pauseMs);
    this.parts.observer.ended(number, end, pauseMs);
    const timer = setTimeout(() => {
      this.#restarting.delete(number);
      this.restarts += 1;
      worker.start();
    }, pauseMs);
    this.#restarting.set(number, timer);
  }
}
