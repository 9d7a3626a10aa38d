import { type handleServerStreamingCall, type MethodDefinition, status } from '@grpc/grpc-js';
import type { Call } from '../coordination/words/call.js';
import { type Answered, type AnyRow, answer, type Edge, refusedAtCost } from './answer.js';
import { callOf, visitorOf } from './call-of.js';
import { messageOf } from './decode.js';
import { failedStatus } from './failure.js';
import { type Decoded, decodeStrictly, strict } from './strict-codec.js';
import type { Pieces } from './turns.js';
import type { Carrier } from './unary.js';

/** The carrier of calls with one request and a stream of answers. */
export function many(
  row: AnyRow,
  method: MethodDefinition<unknown, unknown>,
  edge: Edge,
): Carrier<handleServerStreamingCall<Decoded<unknown>, unknown>> {
  const unexpected = (cause: unknown) => edge.unexpected(cause, row.path);
  const handler: handleServerStreamingCall<Decoded<unknown>, unknown> = (stream) => {
    let call: Call | undefined;
    const fail = (error: unknown) => {
      const isGone = call?.cancelled === true;
      const failure = failedStatus(edge, row.path, error, isGone);
      // grpc-js turns it into the stream's status.
      stream.emit('error', failure);
      call?.trace?.end(isGone ? status.CANCELLED : failure.code);
    };
    try {
      const own = callOf(stream, row.path, edge);
      call = own;
      const writer = new Writer(stream, own, {
        giveBack: ({ key, lease }) => edge.coordinator.giveBack(key, lease).catch(unexpected),
        ended: () => own.trace?.end(own.cancelled ? status.CANCELLED : status.OK),
      });
      // After `callOf`, so that the call is notified first.
      stream.on('cancelled', () => writer.flush());
      const answered = (it: Answered<unknown> | Error) => {
        if (!(it instanceof Error)) {
          writer.add(it);
          return;
        }
        fail(it);
        // Nothing more is sent, so the leases that wait for a slow reader go back.
        own.cancel();
        writer.flush();
      };
      const paced = { ...edge, pace: (rest: Pieces) => writer.pace(rest, edge.pace) };
      answer(row, messageOf(stream.request), own, paced, answered, visitorOf(stream, row.path, edge));
    } catch (error) {
      fail(call === undefined ? error : refusedAtCost(error, call.identity, edge));
    }
  };
  return { definition: strict(method, (bytes) => decodeStrictly(row.type, bytes)), handler };
}

/** The part of a server stream that is used here. */
interface ResponseStream {
  /** False: its buffer is full, and it emits `drain` when it is not. */
  write(response: unknown): boolean;
  once(event: 'drain', listener: () => void): unknown;
  end(): unknown;
}

interface Ends {
  giveBack(given: NonNullable<Answered<unknown>['given']>): unknown;
  ended(): void;
}

/**
 * Sends answers in order. A slow reader delays only its own stream. If it leaves, the leases in unsent answers are
 * released.
 */
class Writer {
  readonly #queue: Answered<unknown>[] = [];
  #held = false;
  #onFree: (() => void) | undefined;

  constructor(
    private readonly stream: ResponseStream,
    private readonly call: Call,
    private readonly ends: Ends,
  ) {}

  add(answered: Answered<unknown>): void {
    this.#queue.push(answered);
    this.flush();
  }

  /** Does the rest of the work only while the answers are read. */
  pace(rest: Pieces, begin: (pieces: Pieces) => void): void {
    const pieces = {
      next: () => {
        if (!this.#held || this.call.cancelled) return rest.next();
        this.#onFree = () => begin(pieces);
        return undefined;
      },
    };
    begin(pieces);
  }

  flush(): void {
    while (this.#queue.length > 0 && (!this.#held || this.call.cancelled)) {
      const { response, given, more } = this.#queue.shift() as Answered<unknown>;
      if (this.call.cancelled) {
        if (given !== undefined) this.ends.giveBack(given);
      } else if (!this.stream.write(response)) {
        this.#held = true;
        this.stream.once('drain', () => {
          this.#held = false;
          this.flush();
          this.#free();
        });
      }
      if (more) continue;
      this.stream.end();
      this.ends.ended();
    }
    if (this.call.cancelled) this.#free();
  }

  #free(): void {
    const free = this.#onFree;
    this.#onFree = undefined;
    free?.();
  }
}
