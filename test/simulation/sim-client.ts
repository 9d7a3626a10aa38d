import { type ClientUnaryCall, Metadata, type ServiceError } from '@grpc/grpc-js';
import { BytesClient, type Machine } from '../../clients/typescript/src/bytes-client.js';
import type { Clock } from '../../clients/typescript/src/clock.js';
import type { ChannelLink } from '../../clients/typescript/src/link.js';
import { Call } from '../../src/coordination/words/call.js';
import { type AnyRow, answer } from '../../src/grpc/answer.js';
import { CALLS } from '../../src/grpc/calls.js';
import { statusOf } from '../../src/grpc/status.js';
import { ClientCopies } from './client-copies.js';
import type { SimChance } from './sim-chance.js';
import { ProcessClock, SimProcess } from './sim-process.js';
import type { SimReplica } from './sim-replica.js';
import { SimSessionStream, unavailable } from './sim-session-stream.js';
import type { World } from './world.js';

const NEAR_BYTES = 100_000;
const CONNECT_MS = 500;
/** How long a client holds a lease at most: longer than any rebuild in this world. */
const HOLD_MS_MAX = 60_000;

type Unary = keyof Omit<typeof CALLS, 'getOrLockMany'>;
type Done = (error: ServiceError | null, reply?: unknown) => void;

/**
 * A process with the production code of the TypeScript client: near cache, flights and session. Its connection can stall
 * and break.
 */
export class SimClient extends SimProcess {
  readonly client: BytesClient;
  readonly copies: ClientCopies;
  /** No stream can be opened, so the client uses unary calls. */
  refusesStreams = false;
  readonly #streams = new Set<SimSessionStream>();
  readonly #clock: ProcessClock;

  constructor(
    name: string,
    private readonly world: World,
    readonly chance: SimChance,
    watched: readonly string[],
  ) {
    super(name, world.time);
    this.#clock = new ProcessClock(
      world.time,
      this,
      chance.between(0.996, 1.004),
      chance.below(1_000_000) + 1,
    );
    this.copies = new ClientCopies(world.judge, name, new Set(watched));
    const machine: Machine = {
      clock: this.#clientClock(),
      chance: { fraction: () => chance.fraction(), requestId: () => `${name}-${chance.nonce()}` },
      warn: (code) => world.say(() => `${name} warns of ${code}`, code),
      linkOf: () => this.#link(),
      countAddresses: async () => 1,
    };
    const nearCache = { maxBytes: NEAR_BYTES, namespaces: watched };
    this.client = new BytesClient(
      { holder: name, nearCache, connectMs: CONNECT_MS, leaseHoldMaxMs: HOLD_MS_MAX, target: name },
      machine,
    );
  }

  get streams(): SimSessionStream[] {
    return [...this.#streams].filter((stream) => this.#isOpen(stream));
  }

  #isOpen(stream: SimSessionStream): boolean {
    const isOpen = stream.replica.streams.has(stream);
    if (!isOpen) this.#streams.delete(stream);
    return isOpen;
  }

  #clientClock(): Clock {
    const { time } = this.world;
    const clock = this.#clock;
    const after = (delayMs: number, fire: () => void) => clock.after(delayMs, fire);
    return {
      nowMs: () => clock.nowMs(),
      after,
      behind: after,
      soon: (fire) => {
        let isOver = false;
        const run = () => {
          if (!isOver) fire();
        };
        // Everything that follows from this turn comes first.
        void Promise.resolve().then(() => time.at(time.nowMs, () => this.run(run), this.timers));
        return () => {
          isOver = true;
        };
      },
    };
  }

  #replica(): SimReplica {
    const { replicas } = this.world;
    const serving = replicas.filter((replica) => replica.serving && !replica.dead);
    return this.chance.pick(serving.length > 0 ? serving : replicas);
  }

  #link(): ChannelLink {
    const unary = (name: Unary) => (request: unknown, _metadata: Metadata, options: never, done: Done) =>
      this.#unary(name, request, options, done);
    const stub = {
      ...{ getOrLock: unary('getOrLock'), publish: unary('publish'), release: unary('release') },
      ...{ extend: unary('extend'), invalidate: unary('invalidate'), explain: unary('explain') },
      waitForReady: (_deadline: unknown, done: (error?: Error) => void) => done(),
    };
    return {
      stub: stub as unknown as ChannelLink['stub'],
      connecting: { underWay: () => undefined },
      metadata: () => new Metadata(),
      session: () => this.#session() as unknown as ReturnType<ChannelLink['session']>,
      deadlineAfter: (ms) => ms,
      close: () => {},
    };
  }

  #session() {
    const replica = this.#replica();
    const stream = new SimSessionStream(this, replica, this.world.time, this.chance);
    this.#streams.add(stream);
    stream.witness = this.copies.witness(replica);
    if (this.refusesStreams || replica.dead || !replica.serving) {
      this.#soon(() => stream.breakOff());
    }
    return stream.clientHalf;
  }

  #soon(what: () => void): void {
    const { time } = this.world;
    time.at(time.nowMs + this.chance.latencyMs(0), what, this.timers);
  }

  /** Sends one unary call to any replica. Returns how to cancel it. */
  #unary(name: Unary, request: unknown, { deadline }: { deadline: number }, done: Done): ClientUnaryCall {
    const replica = this.#replica();
    const call = new Call('', deadline);
    const sentAt = this.world.judge.now();
    let isOver = false;
    const end: Done = (error, reply) => {
      if (isOver) return;
      isOver = true;
      if (reply !== undefined)
        this.copies.answered(name, request, reply, { replica, sentAt, isOverSession: false });
      done(error, reply);
    };
    const back = (error: ServiceError | null, reply?: unknown) =>
      this.#soon(() => this.run(() => end(error, reply)));
    this.#soon(() => {
      if (replica.dead || !replica.serving) return back(unavailable('the replica is gone'));
      replica.run(() => {
        answer(CALLS[name] as unknown as AnyRow, request, call, replica.edge, (it) => {
          if (!(it instanceof Error)) return back(null, it.response);
          const { code, details, metadata } = statusOf(it, () => {});
          back(Object.assign(new Error(details ?? ''), { code, details, metadata }) as ServiceError);
        });
      });
    });
    this.#clock.after(deadline, () => end(unavailable('no answer in time')));
    const cancel = () => {
      this.#soon(() => replica.run(() => call.cancel()));
      end(unavailable('cancelled'));
    };
    return { cancel } as unknown as ClientUnaryCall;
  }
}
