import type {
  LockNode,
  LockNodeListener,
  LockStep,
  Memory,
  NodeFacts,
  TakeReply,
  TakeStep,
} from '../../src/quorum/lock-node.js';
import { Expiries, type Open } from './expiries.js';
import type { SimLink } from './sim-link.js';
import type { SimLockServer } from './sim-lock-node.js';
import type { SimProcess } from './sim-process.js';
import type { VirtualTime } from './virtual-time.js';

/** How long a connection that owes replies may be silent before it is closed. A fleet may set another time. */
export const SILENT_MS_MAX = 1_000;
/** How long a reconnection takes. */
const RECONNECT_MS = 50;

/** One replica's connection to one lock node. */
export class SimLockConnection implements LockNode {
  readonly name: string;
  #listener: LockNodeListener | undefined;
  #connected = false;
  readonly #open = new Set<(error: Error) => void>();
  /** Count the connections, and the replies on them. */
  #connections = 0;
  #heard = 0;
  readonly #watches: Expiries;

  constructor(
    readonly server: SimLockServer,
    private readonly process: SimProcess,
    readonly link: SimLink,
    private readonly time: VirtualTime,
    silentMsMax: number,
  ) {
    this.name = server.name;
    this.#watches = new Expiries(time, silentMsMax, process.timers);
    server.connections.push(this);
  }

  start(listener: LockNodeListener): void {
    this.#listener = listener;
    this.comeBack();
  }

  async close(): Promise<void> {
    this.#listener = undefined;
    this.breakOff('closed');
  }

  breakOff(why: string): void {
    if (!this.#connected) return;
    this.#connected = false;
    const open = [...this.#open];
    this.#open.clear();
    this.process.run(() => {
      for (const fail of open) fail(new Error(why));
      this.#listener?.disconnected(why);
    });
    if (this.server.up) this.comeBack();
  }

  comeBack(): void {
    this.time.at(
      this.time.nowMs + RECONNECT_MS,
      () => {
        if (this.#connected || !this.server.up || this.process.dead) return;
        this.#connected = true;
        this.#connections += 1;
        this.process.run(() => this.#listener?.connected());
      },
      this.process.timers,
    );
  }

  prepare(): Promise<void> {
    return this.#step('prepare', () => this.server.prepare(this));
  }

  inspect(): Promise<NodeFacts> {
    return this.#step('inspect', () => ({
      run: this.server.run,
      ...(this.server.evicts ? { evictionPolicy: 'allkeys-lru' } : {}),
    }));
  }

  recall(run: string, leaseMsMax: number): Promise<Memory> {
    return this.#step('recall', () => this.server.recall(this, run, leaseMsMax));
  }

  mark(run: string, since: string, firstStart: boolean): Promise<boolean> {
    return this.#step('mark', () => this.server.mark(this, run, since, firstStart));
  }

  unmark(): Promise<void> {
    return this.#step('unmark', () => {
      this.server.marker = undefined;
    });
  }

  ping(): Promise<void> {
    return this.#step('ping', () => {});
  }

  take(run: string, steps: readonly TakeStep[]): Promise<readonly TakeReply[]> {
    const kind = steps.some((step) => step.kind === 'extend') ? 'extend' : 'acquire';
    return this.#step(kind, () => steps.map((step) => this.server.vote(this, run, step)));
  }

  free(steps: readonly LockStep[]): Promise<void> {
    return this.#step('release', () => {
      for (const { id, nonce } of steps) this.server.release(id, nonce);
    });
  }

  /** Watches for silence. The caller ends it when the reply has come. */
  #watch(connection: number): Open {
    const heard = this.#heard;
    const look = () => {
      const silent = this.#heard === heard && this.#open.size > 0;
      if (silent && connection === this.#connections) this.breakOff('silent');
    };
    return this.#watches.begin(look);
  }

  #step<T>(name: string, apply: () => T): Promise<T> {
    if (!this.#connected) return Promise.reject(new Error('there is no connection'));
    return new Promise((resolve, reject) => {
      this.#open.add(reject);
      const connection = this.#connections;
      const watch = this.#watch(connection);
      let reply: T;
      let error: unknown;
      let failed = false;
      // Few closures, because a seed has thousands of messages.
      const answer = () => {
        if (failed) reject(error);
        else resolve(reply);
      };
      const replied = () => {
        // A reply on an old connection is lost.
        if (connection !== this.#connections || !this.#connected) return;
        watch.expire = undefined;
        this.#heard += 1;
        this.#open.delete(reject);
        this.process.run(answer);
      };
      const taken = () => {
        this.server.stepped(name);
        try {
          reply = apply();
        } catch (thrown) {
          failed = true;
          error = thrown;
        }
        this.link.reply(replied);
      };
      const { life } = this.server;
      this.link.send(() => {
        if (life === this.server.life) this.server.arrive(taken);
      });
    });
  }
}
