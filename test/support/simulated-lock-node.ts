import type { Clock } from '../../src/coordination/ports/clock.js';
import type {
  LockNode,
  LockNodeListener,
  LockReply,
  LockStep,
  Memory,
  NodeFacts,
  TakeReply,
  TakeStep,
} from '../../src/quorum/lock-node.js';

interface Lock {
  readonly nonce: string;
  readonly untilMs: number;
}

interface Step {
  apply(): void;
  fail(error: Error): void;
}

/** What an old snapshot restores. */
export interface Snapshot {
  readonly marker: string | undefined;
  readonly wait: Wait | undefined;
  readonly locks: ReadonlyMap<string, Lock>;
}

interface Wait {
  readonly run: string;
  readonly since: string;
  readonly sinceMs: number;
  readonly ms: number;
}

/**
 * A lock node in memory, on a test's clock. It can restart empty or from a snapshot, forget, hang with unprocessed
 * requests, fail every step, and answer late.
 */
export class SimulatedLockNode implements LockNode {
  readonly locks = new Map<string, Lock>();
  marker: string | undefined;
  wait: Wait | undefined;
  evictionPolicy: string | undefined;
  prepared = false;
  /** Every call that takes or frees locks fails with this error. */
  error: Error | undefined;
  /** By id: the reply to a step that takes this lock. */
  readonly errors = new Map<string, Error>();
  /** How long each reply takes. The step itself is taken at once. */
  replyMs = 0;
  /** The names of the calls, in order. */
  readonly sent: string[] = [];
  /** The calls about locks, each with its steps. */
  readonly calls: string[][] = [];
  #runs = 1;
  #waits = 0;
  #hangs = false;
  #connected = false;
  readonly #queue: Step[] = [];
  #listener: LockNodeListener | undefined;

  constructor(
    readonly name: string,
    private readonly clock: Clock,
  ) {}

  get run(): string {
    return `${this.name}-run-${this.#runs}`;
  }

  // ——— controls for the test ———

  connect(): void {
    if (this.#connected || this.#listener === undefined) return;
    this.#connected = true;
    this.#listener.connected();
  }

  disconnect(why = 'the connection was closed'): void {
    if (!this.#connected) return;
    this.#connected = false;
    for (const step of this.#queue.splice(0)) step.fail(new Error(why));
    this.#listener?.disconnected(why);
  }

  hang(): void {
    this.#hangs = true;
  }

  /** Applies, in order, what was sent while it hung. */
  resume(): void {
    this.#hangs = false;
    for (const step of this.#queue.splice(0)) step.apply();
  }

  snapshot(): Snapshot {
    return { marker: this.marker, wait: this.wait, locks: new Map(this.locks) };
  }

  /** Starts a new run, empty or from a snapshot. The connection is lost. */
  restart(from?: Snapshot): void {
    this.disconnect('the process ended');
    this.#runs += 1;
    this.flush();
    this.prepared = false;
    this.marker = from?.marker;
    this.wait = from?.wait;
    for (const [id, lock] of from?.locks ?? []) this.locks.set(id, lock);
  }

  flush(): void {
    this.locks.clear();
    this.marker = undefined;
    this.wait = undefined;
  }

  holder(id: string): string | undefined {
    const lock = this.locks.get(id);
    return lock !== undefined && lock.untilMs > this.clock.nowMs() ? lock.nonce : undefined;
  }

  // ——— the port ———

  start(listener: LockNodeListener): void {
    this.#listener = listener;
    this.connect();
  }

  async close(): Promise<void> {
    this.#listener = undefined;
    this.disconnect();
  }

  prepare(): Promise<void> {
    return this.#step('prepare', () => {
      this.prepared = true;
    });
  }

  inspect(): Promise<NodeFacts> {
    return this.#step('inspect', () => ({
      run: this.run,
      ...(this.evictionPolicy === undefined ? {} : { evictionPolicy: this.evictionPolicy }),
    }));
  }

  recall(run: string, leaseMsMax: number): Promise<Memory> {
    return this.#step<Memory>('recall', () => {
      if (this.marker === run) return { kind: 'marked' };
      const nowMs = this.clock.nowMs();
      const wait = this.wait?.run === run ? this.wait : this.#beginWait(run, nowMs);
      const ms = Math.max(wait.ms, leaseMsMax);
      this.wait = { ...wait, ms };
      const leftMs = Math.max(0, Math.ceil(ms - (nowMs - wait.sinceMs)) + 1);
      return { kind: 'waiting', blank: this.marker === undefined, since: wait.since, leftMs };
    });
  }

  mark(run: string, since: string, firstStart: boolean): Promise<boolean> {
    return this.#step(firstStart ? 'mark-first' : 'mark', () => {
      const { wait } = this;
      if (wait?.run !== run || wait.since !== since) return false;
      const first = firstStart && this.marker === undefined;
      if (!first && this.clock.nowMs() - wait.sinceMs <= wait.ms) return false;
      this.marker = run;
      this.wait = undefined;
      return true;
    });
  }

  unmark(): Promise<void> {
    return this.#step('unmark', () => {
      this.marker = undefined;
    });
  }

  ping(): Promise<void> {
    return this.#step('ping', () => {});
  }

  take(run: string, steps: readonly TakeStep[]): Promise<readonly TakeReply[]> {
    this.calls.push(steps.map(({ kind, id }) => `${kind} ${id}`));
    return this.#step(steps.map(({ kind }) => kind).join(' '), () =>
      steps.map((step) => this.errors.get(step.id) ?? this.#vote(run, step)),
    );
  }

  free(steps: readonly LockStep[]): Promise<void> {
    this.calls.push(steps.map(({ id }) => `release ${id}`));
    return this.#step(steps.map(() => 'release').join(' '), () => {
      if (this.error !== undefined) throw this.error;
      for (const { id, nonce } of steps) if (this.locks.get(id)?.nonce === nonce) this.locks.delete(id);
    });
  }

  #beginWait(run: string, nowMs: number): Wait {
    this.#waits += 1;
    return { run, since: `${this.#waits}`, sinceMs: nowMs, ms: 0 };
  }

  #vote(run: string, { kind, id, nonce, ttlMs }: TakeStep): LockReply {
    if (this.error !== undefined) throw this.error;
    if (!this.prepared) return 'unprepared';
    if (this.marker !== run) return 'unmarked';
    const holder = this.holder(id);
    if (holder !== undefined && (kind === 'acquire' || holder !== nonce)) return 'held';
    const before = holder === nonce ? (this.locks.get(id)?.untilMs ?? 0) : 0;
    this.locks.set(id, { nonce, untilMs: Math.max(before, this.clock.nowMs() + ttlMs) });
    return 'done';
  }

  #step<T>(name: string, apply: () => T): Promise<T> {
    this.sent.push(name);
    if (!this.#connected) return Promise.reject(new Error('there is no connection'));
    return new Promise((resolve, reject) => {
      const step: Step = {
        apply: () => {
          try {
            const result = apply();
            if (this.replyMs === 0) resolve(result);
            else this.clock.after(this.replyMs, () => resolve(result));
          } catch (error) {
            reject(error);
          }
        },
        fail: reject,
      };
      if (this.#hangs) this.#queue.push(step);
      else step.apply();
    });
  }
}
