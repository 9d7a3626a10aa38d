import {
  ExplainRequest,
  ExplainResponse,
  ExtendRequest,
  ExtendResponse,
  GetOrLockManyRequest,
  GetOrLockManyResponse,
  GetOrLockRequest,
  GetOrLockResponse,
  InvalidateRequest,
  InvalidateResponse,
  PublishRequest,
  PublishResponse,
  ReleaseRequest,
  ReleaseResponse,
} from '../src/generated/dibs/v1/coordinator.js';
import type { Transport } from '../src/transport.js';

interface Terms {
  readonly signal: AbortSignal;
  readonly deadlineMs: number | undefined;
}

/** One unary call as in the contract: JSON in and JSON out, as proto3 defines it. */
export async function rawCall(
  by: Transport,
  method: string,
  request: object,
  { signal, deadlineMs = 30_000 }: Terms,
): Promise<object> {
  const terms = { signal, deadlineMs };
  switch (method) {
    case 'GetOrLock':
      return json(GetOrLockResponse, await by.getOrLock(GetOrLockRequest.fromJSON(request), terms));
    case 'Publish':
      return json(PublishResponse, await by.publish(PublishRequest.fromJSON(request), terms));
    case 'Release':
      return json(ReleaseResponse, await by.release(ReleaseRequest.fromJSON(request), terms));
    case 'Extend':
      return json(ExtendResponse, await by.extend(ExtendRequest.fromJSON(request), terms));
    case 'Invalidate':
      return json(InvalidateResponse, await by.invalidate(InvalidateRequest.fromJSON(request), terms));
    case 'Explain':
      return json(ExplainResponse, await by.explain(ExplainRequest.fromJSON(request), terms));
    case 'GetOrLockMany': {
      const responses: unknown[] = [];
      for await (const one of by.getOrLockMany(GetOrLockManyRequest.fromJSON(request), terms)) {
        responses.push(json(GetOrLockManyResponse, one));
      }
      return { responses };
    }
    default:
      throw new Error(`no such method: ${method}`);
  }
}

function json<Message>(type: { toJSON(message: Message): unknown }, message: Message): object {
  return type.toJSON(message) as object;
}
