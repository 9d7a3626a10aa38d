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
    const answer = this.coordinator.getOrLockAtOnce(request, call, (it) =>
      later(it instanceof Error ? it : answered(key, it)),
    );
    return answer && answered(key, answer);
  }

  async publish(message: wire.PublishRequest, call: Call): Promise<wire.PublishResponse> {
    return encodePublish(await this.coordinator.publish(decodePublish(message, this.bounds), call));
  }

  async release(message: wire.ReleaseRequest, call: Call): Promise<wire.ReleaseResponse> {
    return encodeRelease(await this.coordinator.release(decodeRelease(message), call));
  }

  async extend(message: wire.ExtendRequest, call: Call): Promise<wire.ExtendResponse> {
    return encodeExtend(await this.coordinator.extend(decodeExtend(message, this.bounds), call));
  }

  async invalidate(message: wire.InvalidateRequest, call: Call): Promise<wire.InvalidateResponse> {
    return encodeInvalidate(await this.coordinator.invalidate(decodeInvalidate(message), call));
  }

  async explain(message: wire.ExplainRequest): Promise<wire.ExplainResponse> {
    return encodeExplain(await this.coordinator.explain(decodeExplain(message)));
  }
}

function answered(key: Key, answer: GetOrLockAnswer): Answered {
  const response = encodeGetOrLock(answer);
  const { outcome } = answer;
  return outcome.kind === 'lease' ? { response, given: { key, lease: outcome } } : { response };
}
