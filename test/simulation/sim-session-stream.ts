import { EventEmitter } from 'node:events';
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import {
  type SessionCall,
  SessionRequest,
  type SessionResponse,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import type { SessionStream } from '../../src/grpc/session/sessions.js';
import type { SimChance } from './sim-chance.js';
import type { SimProcess } from './sim-process.js';
import type { SimReplica } from './sim-replica.js';
import type { VirtualTime } from './virtual-time.js';

/** One direction of a connection. Messages keep their order and are never lost, but may stall. */
class Pipe {
  #atMs = 0;
  #held: (() => void)[] | undefined;

  constructor(
    private readonly time: VirtualTime,
    private readonly chance: SimChance,
    private readonly queue: string,
  ) {}

  carry(arrive: () => void): void {
    if (this.#held !== undefined) {
      this.#held.push(arrive);
      return;
    }
    this.#atMs = Math.max(this.#atMs, this.time.nowMs + this.chance.latencyMs(0));
    this.time.at(this.#atMs, arrive, this.queue);
  }

  stall(): void {
    this.#held ??= [];
  }

  flow(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const arrive of held) this.carry(arrive);
  }
}

/** The events of a client's stream that its judge observes. */
export interface StreamWitness {
  /** The client has sent a call. */
  sent(call: SessionCall): void;
  /** The replica has sent a message. Returns a function to call before and after the client processes it. */
  told(message: SessionResponse): (phase: 'before' | 'after') => void;
  /** The client has noticed that the stream is over. */
  ended(): void;
}

/** A session's stream between one client and one run of a replica. */
export class SimSessionStream {
  /** The client's end. */
  readonly client = new EventEmitter();
  readonly #server = new EventEmitter();
  readonly #there: Pipe;
  readonly #back: Pipe;
  witness: StreamWitness | undefined;
  #isOver = false;
  /** Whether the client has ended its side. */
  #hasEnded = false;

  constructor(
    private readonly from: SimProcess,
    readonly replica: SimReplica,
    private readonly time: VirtualTime,
    chance: SimChance,
  ) {
    const name = `${from.name}-${replica.name}`;
    this.#there = new Pipe(time, chance, `${name}>`);
    this.#back = new Pipe(time, chance, `${name}<`);
    this.#server.on('error', (failure: StatusObject) => this.#failed(failure));
    replica.streams.add(this);
    this.#carry(() => replica.sessions.serve(this.#serverHalf()));
  }

  /** The part of a gRPC stream that the client uses. */
  get clientHalf() {
    const stream = this;
    return Object.assign(this.client, {
      write(bytes: Buffer): boolean {
        const message = SessionRequest.decode(bytes);
        for (const call of message.calls) stream.witness?.sent(call);
        stream.#carry(() => stream.#server.emit('data', { ok: true, message }));
        return true;
      },
      end(): void {
        stream.#hasEnded = true;
        stream.#carry(() => stream.#server.emit('end'));
      },
      cancel: () => this.breakOff(false),
      getPeer: () => this.replica.name,
      destroyed: false,
      writableEnded: false,
    });
  }

  /** Stops all messages in both directions. Neither side notices. */
  stall(): void {
    this.#there.stall();
    this.#back.stall();
  }

  flow(): void {
    this.#there.flow();
    this.#back.flow();
  }

  /** Breaks the stream. Messages on their way are lost. */
  breakOff(isClientTold = true): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.replica.streams.delete(this);
    this.replica.run(() => this.#server.emit('close'));
    if (!isClientTold) return;
    this.from.run(() => {
      this.witness?.ended();
      this.client.emit('error', unavailable('the connection broke'));
    });
  }

  #carry(arrive: () => void): void {
    this.#there.carry(() => {
      if (this.replica.dead) this.breakOff();
      else if (!this.#isOver) this.replica.run(arrive);
    });
  }

  #tell(arrive: () => void): void {
    this.#back.carry(() => {
      if (!this.#isOver) this.from.run(arrive);
    });
  }

  #failed({ code, details, metadata }: StatusObject): void {
    this.#tell(() => {
      this.#isOver = true;
      this.replica.streams.delete(this);
      this.witness?.ended();
      this.client.emit('error', Object.assign(new Error(details), { code, details, metadata }));
    });
  }

  #serverHalf(): SessionStream {
    const stream = this;
    const { time, replica } = this;
    const half = Object.assign(this.#server, {
      metadata: new Metadata(),
      getAuthContext: () => null,
      getPeer: () => stream.from.name,
      write(message: SessionResponse): boolean {
        const processed = stream.witness?.told(message);
        stream.#tell(() => {
          processed?.('before');
          stream.client.emit('data', message);
          processed?.('after');
        });
        return true;
      },
      end(): void {
        // Both sides have ended. The replica closes the stream, even if its client has not noticed yet.
        if (stream.#hasEnded) time.at(time.nowMs, () => replica.run(() => stream.#server.emit('close')));
        stream.#tell(() => {
          stream.#isOver = true;
          stream.replica.streams.delete(stream);
          stream.witness?.ended();
          stream.client.emit('end');
        });
      },
      pause: () => {},
      resume: () => {},
    });
    return half as unknown as SessionStream;
  }
}

export function unavailable(details: string): ServiceError {
  const code = status.UNAVAILABLE;
  return Object.assign(new Error(details), { code, details, metadata: new Metadata() });
}
