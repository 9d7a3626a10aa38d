import { type handleUnaryCall, type ServerWritableStream, type StatusObject, status } from '@grpc/grpc-js';
import type { Call } from '../coordination/call.js';
import type { Coordinator } from '../coordination/coordinator.js';
import type { Tracing } from '../coordination/trace.js';
import { type Answered, Asks } from './asks.js';
import { callOf, type TransportCall } from './call-of.js';
import { type Bounds, messageOf } from './decode.js';
import {
  CoordinatorServiceService as contract,
  ExplainRequest,
  ExtendRequest,
  GetOrLockManyRequest,
  type GetOrLockManyResponse,
  GetOrLockRequest,
  type GetOrLockResponse,
  InvalidateRequest,
  PublishRequest,
  ReleaseRequest,
  SessionRequest,
} from './generated/dibs/v1/coordinator.js';
import type { Guard } from './guard.js';
import { answerMany } from './many.js';
import type { GrpcService } from './server.js';
import type { SessionStream, Sessions } from './sessions.js';
import { statusOf } from './status.js';
import { type Decoded, strict } from './strict-codec.js';

export interface HandlerParts extends Bounds {
  readonly coordinator: Pick<
    Coordinator,
    | 'getOrLock'
    | 'getOrLockAtOnce'
    | 'giveBack'
    | 'publish'
    | 'release'
    | 'extend'
    | 'takeOver'
    | 'invalidate'
    | 'explain'
  >;
  readonly sessions: Pick<Sessions, 'serve'>;
  readonly tracing?: Tracing;
  readonly guard?: Guard | undefined;
  /** Hears the cause of every INTERNAL, with the method that it came to. */
  unexpected(cause: unknown, method: string): void;
}

/** The contract's service: each call is decoded, asked of the coordinator, and encoded. */
export function coordinatorService(parts: HandlerParts): GrpcService {
  const { coordinator } = parts;
  const definition = strictContract();
  const sent = new WeakSet<object>();
  definition.getOrLock.responseSerialize = (response) => {
    sent.add(response);
    return contract.getOrLock.responseSerialize(response);
  };

  const asks = new Asks(coordinator, parts, parts.guard);
  const getOrLock = async (wire: GetOrLockRequest, call: Call, reply: Reply<GetOrLockResponse>) => {
    const { response, given } = await new Promise<Answered>((resolve, reject) => {
      const known = asks.getOrLock(wire, call, (it) => (it instanceof Error ? reject(it) : resolve(it)));
      if (known !== undefined) resolve(known);
    });
    // What had come by then is heard first: a caller's end may have been read together with its call.
    if (given !== undefined) await new Promise((resolve) => setImmediate(resolve));
    reply(response);
    // The stream may have closed while its `cancelled` was still to be emitted. grpc-js drops the answer
    // then without a word; that it was not even serialized is the only sign of it.
    if (given !== undefined && !sent.has(response)) await coordinator.giveBack(given.key, given.lease);
  };
  const getOrLockMany = async (stream: ManyStream, call: Call) => {
    const unexpected = (cause: unknown) => parts.unexpected(cause, contract.getOrLockMany.path);
    const requests = asks.getOrLockMany(messageOf(stream.request), call);
    await answerMany(requests, call, stream, { coordinator, unexpected });
  };

  const implementation = {
    getOrLock: unary(parts, contract.getOrLock.path, getOrLock),
    publish: unary(parts, contract.publish.path, async (wire: PublishRequest, call, reply) =>
      reply(await asks.publish(wire, call)),
    ),
    release: unary(parts, contract.release.path, async (wire: ReleaseRequest, call, reply) =>
      reply(await asks.release(wire, call)),
    ),
    extend: unary(parts, contract.extend.path, async (wire: ExtendRequest, call, reply) =>
      reply(await asks.extend(wire, call)),
    ),
    invalidate: unary(parts, contract.invalidate.path, async (wire: InvalidateRequest, call, reply) =>
      reply(await asks.invalidate(wire, call)),
    ),
    getOrLockMany: streaming(parts, contract.getOrLockMany.path, getOrLockMany),
    explain: unary(parts, contract.explain.path, async (wire: ExplainRequest, call, reply) =>
      reply(await asks.explain(wire, call)),
    ),
    session: (stream: SessionStream) => parts.sessions.serve(stream),
  };
  return { definition, implementation };
}

/** The generated definition with deserializers that repair nothing and never throw. */
function strictContract() {
  return {
    getOrLock: strict(contract.getOrLock, GetOrLockRequest),
    publish: strict(contract.publish, PublishRequest),
    release: strict(contract.release, ReleaseRequest),
    extend: strict(contract.extend, ExtendRequest),
    invalidate: strict(contract.invalidate, InvalidateRequest),
    getOrLockMany: strict(contract.getOrLockMany, GetOrLockManyRequest),
    explain: strict(contract.explain, ExplainRequest),
    session: strict(contract.session, SessionRequest),
  };
}

type ManyStream = ServerWritableStream<Decoded<GetOrLockManyRequest>, GetOrLockManyResponse>;

/** Sends the answer, once. */
type Reply<Response> = (response: Response) => void;

/** Everything that `handle` throws becomes the call's status. */
function unary<Request, Response>(
  parts: HandlerParts,
  method: string,
  handle: (message: Request, call: Call, reply: Reply<Response>) => Promise<void>,
): handleUnaryCall<Decoded<Request>, Response> {
  const unexpected = (cause: unknown) => parts.unexpected(cause, method);
  return async (transport, done) => {
    let trace: Call['trace'];
    try {
      const call = callOf(transport, method, parts);
      trace = call.trace;
      await handle(messageOf(transport.request), call, (response) => {
        done(null, response);
        trace?.end(status.OK);
      });
    } catch (error) {
      const failure = statusOf(error, unexpected);
      // After the answer this is dropped, as it should be: a call has one status.
      done(failure);
      trace?.end(failure.code);
    }
  };
}

function streaming<Stream extends ErrorSink & TransportCall>(
  parts: HandlerParts,
  method: string,
  handle: (stream: Stream, call: Call) => Promise<void>,
): (stream: Stream) => Promise<void> {
  const unexpected = (cause: unknown) => parts.unexpected(cause, method);
  return async (stream) => {
    let trace: Call['trace'];
    try {
      const call = callOf(stream, method, parts);
      trace = call.trace;
      await handle(stream, call);
      trace?.end(status.OK);
    } catch (error) {
      const failure = statusOf(error, unexpected);
      // grpc-js makes it the stream's status.
      stream.emit('error', failure);
      trace?.end(failure.code);
    }
  };
}

interface ErrorSink {
  emit(event: 'error', status: StatusObject): unknown;
}
