import type { handleUnaryCall, ServerWritableStream, StatusObject } from '@grpc/grpc-js';
import type { Call } from '../coordination/call.js';
import type { Coordinator } from '../coordination/coordinator.js';
import { CoordinationError } from '../coordination/errors.js';
import { callOf } from './call-of.js';
import {
  type Bounds,
  decodeExplain,
  decodeExtend,
  decodeGetOrLock,
  decodeGetOrLockMany,
  decodeInvalidate,
  decodePublish,
  decodeRelease,
} from './decode.js';
import {
  encodeExplain,
  encodeExtend,
  encodeGetOrLock,
  encodeInvalidate,
  encodePublish,
  encodeRelease,
} from './encode.js';
import {
  CoordinatorServiceService as contract,
  ExplainRequest,
  type ExplainResponse,
  ExtendRequest,
  type ExtendResponse,
  GetOrLockManyRequest,
  type GetOrLockManyResponse,
  GetOrLockRequest,
  type GetOrLockResponse,
  InvalidateRequest,
  type InvalidateResponse,
  PublishRequest,
  type PublishResponse,
  ReleaseRequest,
  type ReleaseResponse,
  SessionRequest,
} from './generated/dibs/v1/coordinator.js';
import { answerMany } from './many.js';
import type { GrpcService } from './server.js';
import { statusOf } from './status.js';
import { type Decoded, strict } from './strict-codec.js';

export interface HandlerParts extends Bounds {
  readonly coordinator: Pick<
    Coordinator,
    'getOrLock' | 'giveBack' | 'publish' | 'release' | 'extend' | 'invalidate' | 'explain'
  >;
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

  const getOrLock = async (wire: GetOrLockRequest, call: Call, reply: Reply<GetOrLockResponse>) => {
    const request = decodeGetOrLock(wire, parts);
    const answer = await coordinator.getOrLock(request, call);
    const response = encodeGetOrLock(answer);
    reply(response);
    // The stream may have closed while its `cancelled` was still to be emitted. grpc-js drops the answer
    // then without a word; that it was not even serialized is the only sign of it.
    if (answer.outcome.kind === 'lease' && !sent.has(response)) {
      await coordinator.giveBack(request.key, answer.outcome);
    }
  };
  const publish = async (wire: PublishRequest, call: Call, reply: Reply<PublishResponse>) => {
    reply(encodePublish(await coordinator.publish(decodePublish(wire, parts), call)));
  };
  const release = async (wire: ReleaseRequest, call: Call, reply: Reply<ReleaseResponse>) =>
    reply(encodeRelease(await coordinator.release(decodeRelease(wire), call)));
  const extend = async (wire: ExtendRequest, call: Call, reply: Reply<ExtendResponse>) =>
    reply(encodeExtend(await coordinator.extend(decodeExtend(wire, parts), call)));
  const invalidate = async (wire: InvalidateRequest, call: Call, reply: Reply<InvalidateResponse>) => {
    reply(encodeInvalidate(await coordinator.invalidate(decodeInvalidate(wire), call)));
  };
  const getOrLockMany = async (stream: ManyStream) => {
    const call = callOf(stream);
    const unexpected = (cause: unknown) => parts.unexpected(cause, contract.getOrLockMany.path);
    const requests = decodeGetOrLockMany(messageOf(stream.request), parts);
    await answerMany(requests, call, stream, { coordinator, unexpected });
  };
  const explain = async (wire: ExplainRequest, _call: Call, reply: Reply<ExplainResponse>) =>
    reply(encodeExplain(await coordinator.explain(decodeExplain(wire))));
  const session = async () => {
    throw notYet('Session');
  };

  const implementation = {
    getOrLock: unary(parts, contract.getOrLock.path, getOrLock),
    publish: unary(parts, contract.publish.path, publish),
    release: unary(parts, contract.release.path, release),
    extend: unary(parts, contract.extend.path, extend),
    invalidate: unary(parts, contract.invalidate.path, invalidate),
    getOrLockMany: streaming(parts, contract.getOrLockMany.path, getOrLockMany),
    explain: unary(parts, contract.explain.path, explain),
    session: streaming(parts, contract.session.path, session),
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
    try {
      await handle(messageOf(transport.request), callOf(transport), (response) => done(null, response));
    } catch (error) {
      // After the answer this is dropped, as it should be: a call has one status.
      done(statusOf(error, unexpected));
    }
  };
}

function streaming<Stream extends ErrorSink>(
  parts: HandlerParts,
  method: string,
  handle: (stream: Stream) => Promise<void>,
): (stream: Stream) => Promise<void> {
  const unexpected = (cause: unknown) => parts.unexpected(cause, method);
  return async (stream) => {
    try {
      await handle(stream);
    } catch (error) {
      // grpc-js makes it the stream's status.
      stream.emit('error', statusOf(error, unexpected));
    }
  };
}

interface ErrorSink {
  emit(event: 'error', status: StatusObject): unknown;
}

function messageOf<Message>(request: Decoded<Message>): Message {
  if (request.ok) return request.message;
  throw new CoordinationError('invalid_argument', `request: its bytes cannot be decoded: ${request.fault}`);
}

function notYet(what: string): CoordinationError {
  return new CoordinationError('unimplemented', `${what} is not implemented by this version`);
}
