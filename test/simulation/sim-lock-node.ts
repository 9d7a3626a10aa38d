import type { LockReply, Memory, TakeStep } from '../../src/quorum/lock-node.js';
import type { SimLockConnection } from './sim-lock-connection.js';
import type { VirtualTime } from './virtual-time.js';

interface Lock {
  readonly nonce: string;
  readonly untilMs: number;
}

interface Wait {
  readonly run: string;
  readonly since: string;
  readonly sinceMs: number;
  readonly ms: number;
}

/** What a snapshot keeps. */
export interface LockSnapshot {
  readonly marker: string | undefined;
  readonly wait: Wait | undefined;
  readonly locks: ReadonlyMap<string, Lock>;
}

/** The events of a lock node that a world observes. */
export interface LockNodeWitness {
  /** The node voted. */
  voted(node: SimLockServer, step: 'acquire' | 'extend', id: string, nonce: string): void;
  /** A step arrived. */
  lockStepped(step: string): void;
}

/** One lock node as a process. It can crash, forget, hang and evict, and its clock can jump. */
export class SimLockServer {
  locks = new Map<string, Lock>();
  marker: string | undefined;
  wait: Wait | undefined;
  evicts = false;
  up = true;
  /** When it last forgot anything, in true time; undefined if never. */
  forgotAtMs: number | undefined;
  /** Counts its lives. Connections end with a life, and so do the messages on them. */
  life = 1;
  /** Whether its clock was moved. From then on it may break promises. */
  clockJumped = false;
  #clockMs = 0;
  #hasVoted = false;
  #runs = 1;
  /** The id of this start of the process. */
  run: string;
  #waits = 0;
  #stopped: (() => void)[] | undefined;
  #error: string | undefined;
  readonly #prepared = new Set<SimLockConnection>();
  readonly connections: SimLockConnection[] = [];

  constructor(
    readonly name: string,
    private readonly time: VirtualTime,
    private readonly witness: LockNodeWitness,
  ) {
    this.run = `${name}:1`;
  }

  get nowMs(): number {
    return this.time.nowMs + this.#clockMs;
  }

  /** Whether it has a fault now. */
  get faulty(): boolean {
    return !this.up || this.#stopped !== undefined || this.#error !== undefined || this.evicts;
  }

  /** The number of locks held now. */
  get held(): number {
    return [...this.locks.values()].filter(({ untilMs }) => untilMs > this.nowMs).length;
  }

  // ——— faults ———

  crash(): void {
    this.up = false;
    // Unread requests, and messages on their way, are lost with the process.
    this.life += 1;
    this.#stopped = undefined;
    for (const connection of this.connections) connection.breakOff('the process ended');
  }

  /** Restarts empty, or with a snapshot. */
  restart(from?: LockSnapshot): void {
    this.#runs += 1;
    this.run = `${this.name}:${this.#runs}`;
    this.forget();
    this.marker = from?.marker;
    this.wait = from?.wait;
    this.locks = new Map(from?.locks ?? []);
    this.#prepared.clear();
    this.#error = undefined;
    this.up = true;
    for (const connection of this.connections) connection.comeBack();
  }

  snapshot(): LockSnapshot {
    return { marker: this.marker, wait: this.wait, locks: new Map(this.locks) };
  }

  /** FLUSHALL. */
  forget(): void {
    this.locks.clear();
    this.marker = undefined;
    this.wait = undefined;
    // A node that has never voted has nothing to forget.
    if (this.#hasVoted) this.forgotAtMs = this.time.nowMs;
  }

  /** SCRIPT FLUSH. */
  forgetScripts(): void {
    this.#prepared.clear();
  }

  /** SIGSTOP: requests that arrive are applied when it continues. */
  stop(): void {
    this.#stopped ??= [];
  }

  goOn(): void {
    const waiting = this.#stopped ?? [];
    this.#stopped = undefined;
    for (const step of waiting) step();
  }

  /** Makes every voting step fail with this error. */
  failWith(error: string | undefined): void {
    this.#error = error;
  }

  jump(ms: number): void {
    this.#clockMs += ms;
    this.clockJumped = true;
  }

  heal(): void {
    this.evicts = false;
    this.#error = undefined;
    this.goOn();
    if (!this.up) this.restart();
  }

  // ——— steps ———

  arrive(apply: () => void): void {
    if (!this.up) return;
    if (this.#stopped !== undefined) this.#stopped.push(apply);
    else apply();
  }

  prepare(connection: SimLockConnection): void {
    this.#prepared.add(connection);
  }

  recall(connection: SimLockConnection, run: string, leaseMsMax: number): Memory {
    this.#needScripts(connection);
    if (this.marker === run) return { kind: 'marked' };
    const wait = this.wait?.run === run ? this.wait : this.#beginWait(run);
    const ms = Math.max(wait.ms, leaseMsMax);
    this.wait = { ...wait, ms };
    const leftMs = Math.max(0, Math.ceil(ms - (this.nowMs - wait.sinceMs)) + 1);
    return { kind: 'waiting', blank: this.marker === undefined, since: wait.since, leftMs };
  }

  mark(connection: SimLockConnection, run: string, since: string, firstStart: boolean): boolean {
    this.#needScripts(connection);
    const { wait } = this;
    if (wait?.run !== run || wait.since !== since) return false;
    const first = firstStart && this.marker === undefined;
    if (!first && this.nowMs - wait.sinceMs <= wait.ms) return false;
    this.marker = run;
    this.wait = undefined;
    return true;
  }

  vote(connection: SimLockConnection, run: string, { kind, id, nonce, ttlMs }: TakeStep): LockReply {
    if (this.#error !== undefined) throw new Error(this.#error);
    if (!this.#prepared.has(connection)) return 'unprepared';
    if (this.marker !== run) return 'unmarked';
    const lock = this.locks.get(id);
    const holder = lock !== undefined && lock.untilMs > this.nowMs ? lock.nonce : undefined;
    if (holder !== undefined && (kind === 'acquire' || holder !== nonce)) return 'held';
    const untilMs = Math.max(holder === nonce ? (lock?.untilMs ?? 0) : 0, this.nowMs + ttlMs);
    this.locks.set(id, { nonce, untilMs });
    this.#hasVoted = true;
    this.witness.voted(this, kind, id, nonce);
    return 'done';
  }

  release(id: string, nonce: string): void {
    if (this.#error !== undefined) throw new Error(this.#error);
    if (this.locks.get(id)?.nonce === nonce) this.locks.delete(id);
  }

  /** Only a release brings its source along. */
  #needScripts(connection: SimLockConnection): void {
    if (!this.#prepared.has(connection)) throw new Error('NOSCRIPT');
  }

  stepped(step: string): void {
    this.witness.lockStepped(step);
  }

  #beginWait(run: string): Wait {
    this.#waits += 1;
    return { run, since: `${run}#${this.#waits}`, sinceMs: this.nowMs, ms: 0 };
  }
}
