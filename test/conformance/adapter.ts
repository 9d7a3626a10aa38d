import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { endWithThisProcess } from '../support/end-with-this-process.js';
import { until } from '../support/until.js';
import type { Language } from './adapters.js';
import { Pulse } from './pulse.js';

export type Json = Record<string, unknown>;
export type Answer = { readonly result: Json } | { readonly error: Json };

/** Long enough for a cold start of a virtual machine. */
const START_MS_MAX = 60_000;
/** The clients' default is 2 s, which a busy machine may exceed. */
const CONNECT_MS = 20_000;

/** One adapter process: a client in its language, which takes commands as lines of JSON. */
export class Adapter {
  /** All events in the adapter that are not answers, in order. */
  readonly events: Json[] = [];
  readonly #open = new Map<number, (answer: Answer) => void>();
  readonly #pulse = new Pulse(async () => this.#ready && this.act('let', { gate: 'pulse' }));
  #nextId = 1;
  #ready = false;
  #gone = false;
  #log = '';

  private constructor(
    private readonly child: ChildProcess,
    readonly language: string,
  ) {
    createInterface({ input: child.stdout as NonNullable<ChildProcess['stdout']> }).on('line', (line) =>
      this.#heard(JSON.parse(line)),
    );
    // It has ended, and its exit is about to be reported.
    child.stdin?.on('error', () => {});
    child.stderr?.on('data', (data) => {
      this.#log = `${this.#log}${data}`.slice(-4_000);
    });
    child.on('exit', () => {
      this.#gone = true;
      for (const answer of this.#open.values()) answer({ error: { kind: 'process_gone' } });
      this.#open.clear();
    });
  }

  static async start({ name, command: [program, ...args] }: Language): Promise<Adapter> {
    // In a new process group, so that everything the start script left behind is killed with it.
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    endWithThisProcess(child);
    const adapter = new Adapter(child, name);
    try {
      await until(() => adapter.#ready || adapter.#gone, START_MS_MAX);
    } catch {
      await adapter.kill();
    }
    if (!adapter.#ready || adapter.#gone)
      throw new Error(`the adapter of ${name} did not start:\n${adapter.#log}`);
    return adapter;
  }

  get gone(): boolean {
    return this.#gone;
  }

  get log(): string {
    return this.#log;
  }

  /** Creates a client. It may take its time to connect, unless `fields` say otherwise. */
  open(fields: Json): Promise<Answer> {
    return this.act('open', { connect_ms: CONNECT_MS, ...fields });
  }

  act(what: string, fields: Json = {}): Promise<Answer> {
    if (this.#gone) return Promise.resolve({ error: { kind: 'process_gone' } });
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve) => {
      this.#open.set(id, resolve);
      this.child.stdin?.write(`${JSON.stringify({ id, do: what, ...fields })}\n`);
    });
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    if (this.#gone) return;
    const gone = once(this.child, 'exit');
    this.#signal('SIGKILL');
    await gone;
  }

  /** It stands still: what is sent to it lies in its sockets and its input. */
  pause(): void {
    this.#pulse.pause();
    this.#signal('SIGSTOP');
  }

  continue(): void {
    this.#signal('SIGCONT');
    this.#pulse.continue();
  }

  /** Whether it was late to answer since then. */
  wasLate(sinceMs: number): boolean {
    return this.#pulse.wasLate(sinceMs);
  }

  /** To the whole group, because a start script may stand before the client's process. */
  #signal(name: NodeJS.Signals): void {
    if (this.#gone) return;
    try {
      process.kill(-(this.child.pid ?? 0), name);
    } catch {
      // It has just ended by itself.
    }
  }

  #heard({ id, event, ...rest }: Json): void {
    if (event === 'ready') this.#ready = true;
    else if (event !== undefined) this.events.push({ name: event, atMs: performance.now(), ...rename(rest) });
    else {
      const answer = this.#open.get(id as number);
      this.#open.delete(id as number);
      answer?.(rest as Answer);
    }
  }
}

/** Moves a hook's name to `hook`, because `name` is the event's. */
function rename({ name, ...rest }: Json): Json {
  return name === undefined ? rest : { ...rest, hook: name };
}
