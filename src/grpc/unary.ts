import type { handleUnaryCall, MethodDefinition } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import type { Call } from '../coordination/words/call.js';
import { type Answered, type AnyRow, answer, type Edge, refusedAtCost } from './answer.js';
import { callOf, visitorOf } from './call-of.js';
import { messageOf } from './decode.js';
import { failedStatus } from './failure.js';
import { type Decoded, decodeStrictly, strict } from './strict-codec.js';

/** A method of the service: its codec and its handler. */
export interface Carrier<Handler> {
  readonly definition: MethodDefinition<Decoded<unknown>, unknown>;
  readonly handler: Handler;
}

/** The carrier of calls with one request and one answer. */
export function unary(
  row: AnyRow,
  method: MethodDefinition<unknown, unknown>,
  edge: Edge,
): Carrier<handleUnaryCall<Decoded<unknown>, unknown>> {
  const unexpected = (cause: unknown) => edge.unexpected(cause, row.path);
  /** Answers with a lease that are not serialized yet: they wait for room, or were dropped. */
  const unsent = new Set<unknown>();
  const definition = {
    ...strict(method, (bytes) => decodeStrictly(row.type, bytes)),
    responseSerialize: (response: unknown) => {
      if (unsent.size > 0) unsent.delete(response);
      return method.responseSerialize(response);
    },
  };
  const handler: handleUnaryCall<Decoded<unknown>, unknown> = (transport, done) => {
    let call: Call | undefined;
    const fail = (error: unknown) => {
      const isGone = call?.cancelled === true;
      const failure = failedStatus(edge, row.path, error, isGone);
      done(failure);
      call?.trace?.end(isGone ? status.CANCELLED : failure.code);
    };
    const send = (response: unknown) => {
      done(null, response);
      call?.trace?.end(call.cancelled ? status.CANCELLED : status.OK);
    };
    const sendLease = (response: unknown, { key, lease }: NonNullable<Answered<unknown>['given']>) => {
      unsent.add(response);
      send(response);
      if (!unsent.has(response)) return;
      // It waits for its reader, or the stream has closed and its `cancelled` comes. grpc-js then drops the answer
      // silently. The only sign is that the answer was never serialized.
      call?.onCancel(() => {
        if (unsent.delete(response)) edge.coordinator.giveBack(key, lease).catch(unexpected);
      });
    };
    try {
      call = callOf(transport, row.path, edge);
      const answeredWith = (answered: Answered<unknown> | Error) => {
        if (answered instanceof Error) fail(answered);
        else if (answered.given === undefined) send(answered.response);
        else {
          const { response, given } = answered;
          // Process received events first, because a cancellation may have been read together with its call.
          setImmediate(() => sendLease(response, given));
        }
      };
      answer(
        row,
        messageOf(transport.request),
        call,
        edge,
        answeredWith,
        visitorOf(transport, row.path, edge),
      );
    } catch (error) {
      fail(call === undefined ? error : refusedAtCost(error, call.identity, edge));
    }
  };
  return { definition, handler };
}
