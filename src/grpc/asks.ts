import { labelOf } from '../coordination/answer-labels.js';
import type { Call } from '../coordination/call.js';
import type { Coordinator } from '../coordination/coordinator.js';
import type { Key } from '../coordination/key.js';
import type { GetOrLockAnswer, Lease } from '../coordination/outcome.js';
import type { GetOrLock } from '../coordination/requests.js';
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
import * as wire from './generated/dibs/v1/coordinator.js';
import type { Guard, Permission } from './guard.js';

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

/**
 * Each call of the contract: decoded, allowed or not, asked of the coordinator, and encoded. The namespace is
 * known here first, and whichever way a call comes, it comes by here.
 */
export class Asks {
  constructor(
    private readonly coordinator: Pick<
      Coordinator,
      'getOrLockAtOnce' | 'publish' | 'release' | 'extend' | 'takeOver' | 'invalidate' | 'explain'
    >,
    private readonly bounds: Bounds,
    private readonly guard?: Guard,
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
    this.#admit(call, 'GetOrLock', permissionOf(request), key);
    const answer = this.coordinator.getOrLockAtOnce(request, call, (it) =>
      later(it instanceof Error ? it : answered(key, it, call)),
    );
    return answer && answered(key, answer, call);
  }

  /** The requests that one GetOrLock each would be; it counts for as many calls. */
  getOrLockMany(message: wire.GetOrLockManyRequest, call: Call): GetOrLock[] {
    const requests = decodeGetOrLockMany(message, this.bounds);
    const [first] = requests;
    if (first !== undefined) {
      const { namespace } = first.key;
      this.guard?.allow(call.identity, 'GetOrLockMany', permissionOf(first), namespace, requests.length);
    }
    return requests;
  }

  async publish(message: wire.PublishRequest, call: Call): Promise<wire.PublishResponse> {
    const request = decodePublish(message, this.bounds);
    this.#admit(call, 'Publish', 'publish', request.key);
    const answer = await this.coordinator.publish(request, call);
    call.trace?.know(answer);
    return encodePublish(answer);
  }

  async release(message: wire.ReleaseRequest, call: Call): Promise<wire.ReleaseResponse> {
    const request = decodeRelease(message);
    this.#admit(call, 'Release', 'lease', request.key);
    const outcome = await this.coordinator.release(request, call);
    call.trace?.know({ outcome });
    return encodeRelease(outcome);
  }

  async extend(message: wire.ExtendRequest, call: Call): Promise<wire.ExtendResponse> {
    const request = decodeExtend(message, this.bounds);
    this.#admit(call, 'Extend', 'lease', request.key);
    const answer = await this.coordinator.extend(request, call);
    call.trace?.know({ outcome: answer.outcome });
    return encodeExtend(answer);
  }

  /** After an extension on another session than the lease was given to: what that one holds from now on. */
  async takeOver(
    message: wire.ExtendRequest,
    call: Call,
    { outcome, expiresInMs }: wire.ExtendResponse,
  ): Promise<GivenLease | undefined> {
    if (outcome !== wire.ExtendOutcome.EXTEND_OUTCOME_EXTENDED) return undefined;
    const request = decodeExtend(message, this.bounds);
    const lease = await this.coordinator.takeOver(request, call, expiresInMs);
    return lease && { key: request.key, lease };
  }

  async invalidate(message: wire.InvalidateRequest, call: Call): Promise<wire.InvalidateResponse> {
    const request = decodeInvalidate(message);
    this.guard?.allow(call.identity, 'Invalidate', 'invalidate', request.namespace, 1);
    const answer = await this.coordinator.invalidate(request, call);
    this.guard?.invalidated(call.identity, request);
    return encodeInvalidate(answer);
  }

  async explain(message: wire.ExplainRequest, call: Call): Promise<wire.ExplainResponse> {
    const key = decodeExplain(message);
    this.#admit(call, 'Explain', 'explain', key);
    return encodeExplain(await this.coordinator.explain(key));
  }

  /** A call about one key: whether it may be made, and what its trace is about. */
  #admit({ identity, trace }: Call, method: string, permission: Permission, { namespace, key }: Key): void {
    this.guard?.allow(identity, method, permission, namespace, 1);
    trace?.about(namespace, key);
  }
}

/** A read leaves everything as it is; whoever may get a lease may make work for others. */
function permissionOf({ intent }: GetOrLock): 'read' | 'lease' {
  return intent === 'read' ? 'read' : 'lease';
}

function answered(key: Key, answer: GetOrLockAnswer, { trace }: Call): Answered {
  const response = encodeGetOrLock(answer);
  const { outcome, degraded } = answer;
  trace?.know({ outcome: labelOf(outcome), degraded });
  return outcome.kind === 'lease' ? { response, given: { key, lease: outcome } } : { response };
}
