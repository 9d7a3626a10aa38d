import { labelOf } from '../coordination/answer-labels.js';
import type { Call } from '../coordination/call.js';
import type { Coordinator } from '../coordination/coordinator.js';
import type { Key } from '../coordination/key.js';
import type { GetOrLockAnswer, Lease } from '../coordination/outcome.js';
import {
  type Bounds,
  decodeExplain,
  decodeExtend,
  decodeGetOrLock,
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
import type * as wire from './generated/dibs/v1/coordinator.js';

/** A lease that is on its way to its caller. */
export interface GivenLease {
  readonly key: Key;
  readonly lease: Lease;
}

/** An answer to GetOrLock, and the lease in it, if there is one. */
export interface Answered {
  readonly response: wire.GetOrLockResponse;
  readonly given?: GivenLease;
}

/** Each call of the contract that has one response: decoded, asked of the coordinator, and encoded. */
export class Asks {
  constructor(
    private readonly coordinator: Pick<
      Coordinator,
      'getOrLockAtOnce' | 'publish' | 'release' | 'extend' | 'invalidate' | 'explain'
    >,
    private readonly bounds: Bounds,
  ) {}

  /**
   * Returns what is known at once, else undefined, and `later` is called once: no promise on the way. Throws
   * where the call is refused at once.
   */
  getOrLock(
    message: wire.GetOrLockRequest,
    call: Call,
    later: (answered: Answered | Error) => void,
  ): Answered | undefined {
    const request = decodeGetOrLock(message, this.bounds);
    const { key } = request;
    call.trace?.about(key.namespace, key.key);
    const answer = this.coordinator.getOrLockAtOnce(request, call, (it) =>
      later(it instanceof Error ? it : answered(key, it, call)),
    );
    return answer && answered(key, answer, call);
  }

  async publish(message: wire.PublishRequest, call: Call): Promise<wire.PublishResponse> {
    const request = decodePublish(message, this.bounds);
    const answer = await this.coordinator.publish(seen(request, call), call);
    call.trace?.know(answer);
    return encodePublish(answer);
  }

  async release(message: wire.ReleaseRequest, call: Call): Promise<wire.ReleaseResponse> {
    const outcome = await this.coordinator.release(seen(decodeRelease(message), call), call);
    call.trace?.know({ outcome });
    return encodeRelease(outcome);
  }

  async extend(message: wire.ExtendRequest, call: Call): Promise<wire.ExtendResponse> {
    const answer = await this.coordinator.extend(seen(decodeExtend(message, this.bounds), call), call);
    call.trace?.know({ outcome: answer.outcome });
    return encodeExtend(answer);
  }

  async invalidate(message: wire.InvalidateRequest, call: Call): Promise<wire.InvalidateResponse> {
    return encodeInvalidate(await this.coordinator.invalidate(decodeInvalidate(message), call));
  }

  async explain(message: wire.ExplainRequest, call: Call): Promise<wire.ExplainResponse> {
    const key = decodeExplain(message);
    call.trace?.about(key.namespace, key.key);
    return encodeExplain(await this.coordinator.explain(key));
  }
}

/** The same request, with its key told to the trace. */
function seen<Request extends { readonly key: Key }>(request: Request, { trace }: Call): Request {
  trace?.about(request.key.namespace, request.key.key);
  return request;
}

function answered(key: Key, answer: GetOrLockAnswer, { trace }: Call): Answered {
  const response = encodeGetOrLock(answer);
  const { outcome, degraded } = answer;
  trace?.know({ outcome: labelOf(outcome), degraded });
  return outcome.kind === 'lease' ? { response, given: { key, lease: outcome } } : { response };
}
