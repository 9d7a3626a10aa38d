import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import type { Asked, ToMain, ToWorker } from './messages.js';

export interface WorkerEnd {
  /** Null if a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface WorkerParts {
  /** From 1. It stays the same when its process is started again. */
  readonly number: number;
  fork(number: number): ChildProcess;
  /** It accepts connections from now on. */
  serves(): void;
  /** It accepts no further connection. */
  drains(): void;
  /** Its process has ended. `servedMs` is for how long it had served. */
  ended(end: WorkerEnd, servedMs: number): void;
  /** Its event loop has been blocked for {@link PINGS_MISSED_MAX} seconds, so it is killed. */
  silent(): void;
}

const PING_EVERY_MS = 1_000;
/**
 * As long as three probes of an orchestrator, which would then end a replica of one process. Counts pings, not time:
 * after a suspension of the machine, one ping is due, not thirty.
 */
export const PINGS_MISSED_MAX = 30;
/** Before its first message, a worker loads its code, which takes long on an overloaded machine. */
export const START_PINGS_MISSED_MAX = 120;

/** One worker, as seen by the main process: its process, which may have been restarted, and its connections. */
export class Worker {
  /** How often its process was started. */
  run = 0;
  /** Its open connections. */
  connections = 0;
  state: 'starting' | 'serving' | 'draining' | 'ended' = 'ended';
  readonly #asked = new Map<number, (answer: unknown) => void>();
  #questions = 0;
  #missed = 0;
  #missedMax = START_PINGS_MISSED_MAX;
  #servingSinceMs = 0;
  #child: ChildProcess | undefined;
  #pings: NodeJS.Timeout | undefined;

  constructor(private readonly parts: WorkerParts) {}

  get number(): number {
    return this.parts.number;
  }

  start(): void {
    const child = this.parts.fork(this.number);
    this.#child = child;
    this.run += 1;
    this.state = 'starting';
    this.#missed = 0;
    this.#missedMax = START_PINGS_MISSED_MAX;
    child.on('message', (message: ToMain) => this.#receive(message));
    // It could not be started, or its channel broke. Its exit says the rest, except if it never ran.
    child.on('error', () => {
      if (child.pid === undefined) this.#end({ code: null, signal: null });
    });
    child.once('exit', (code, signal) => this.#end({ code, signal }));
    this.#pings = setInterval(() => this.#ping(), PING_EVERY_MS).unref();
  }

  /** Passes on a connection that came to this address. */
  pass(socket: Socket, address: string): void {
    this.connections += 1;
    const run = this.run;
    this.#child?.send({ kind: 'connection', address } satisfies ToWorker, socket, (error) => {
      if (error === null) return;
      socket.destroy();
      if (run === this.run) this.connections -= 1;
    });
  }

  /** The answer, or undefined if there is none within `msMax`. */
  ask(what: Asked, msMax: number): Promise<unknown> {
    if (this.state === 'starting' || this.state === 'ended') return Promise.resolve(undefined);
    this.#questions += 1;
    const id = this.#questions;
    return new Promise((resolve) => {
      const answered = (answer: unknown) => {
        clearTimeout(timer);
        this.#asked.delete(id);
        resolve(answer);
      };
      const timer = setTimeout(() => answered(undefined), msMax);
      this.#asked.set(id, answered);
      this.#send({ kind: 'ask', id, what });
    });
  }

  tell(what: 'reload' | 'stop'): void {
    this.#send({ kind: what });
  }

  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  #receive(message: ToMain): void {
    this.#missed = 0;
    this.#missedMax = PINGS_MISSED_MAX;
    switch (message.kind) {
      case 'serving':
        this.state = 'serving';
        this.#servingSinceMs = performance.now();
        this.parts.serves();
        break;
      case 'enough':
        this.state = 'draining';
        this.parts.drains();
        break;
      case 'closed':
        this.connections -= 1;
        break;
      case 'answer':
        this.#asked.get(message.id)?.(message.answer);
        break;
      case 'pong':
    }
  }

  #ping(): void {
    this.#missed += 1;
    if (this.#missed <= this.#missedMax) {
      this.#send({ kind: 'ping' });
      return;
    }
    this.#missed = 0;
    this.parts.silent();
    this.kill();
  }

  #end(end: WorkerEnd): void {
    if (this.state === 'ended') return;
    const servedMs = this.#servingSinceMs === 0 ? 0 : performance.now() - this.#servingSinceMs;
    clearInterval(this.#pings);
    this.state = 'ended';
    this.#servingSinceMs = 0;
    this.connections = 0;
    for (const answered of [...this.#asked.values()]) answered(undefined);
    this.parts.ended(end, servedMs);
  }

  #send(message: ToWorker): void {
    // An error means that its channel has closed, and its exit says so.
    if (this.#child?.connected === true) this.#child.send(message, () => {});
  }
}
