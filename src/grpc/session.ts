import { status } from '@grpc/grpc-js';
import { Call } from '../coordination/call.js';
import type { Coordinator } from '../coordination/coordinator.js';
import { CoordinationError } from '../coordination/errors.js';
import type { Key } from '../coordination/key.js';
import type { Lease } from '../coordination/outcome.js';
import type { Tracing } from '../coordination/trace.js';
import type { Answered, Asks, GivenLease } from './asks.js';
import { traceparentOf } from './call-of.js';
import { invalid } from './decode.js';
import { encodeLeaseEnd } from './encode.js';
import {
  CoordinatorServiceService as contract,
  type ExtendRequest,
  type ExtendResponse,
  type GetOrLockManyRequest,
  type GetOrLockManyResponse,
  type GetOrLockRequest,
  type SessionCall,
  type SessionReply,
} from './generated/dibs/v1/coordinator.js';
import type { Guard, Visitor } from './guard.js';
import { answerMany } from './many.js';
import type { Outbox } from './outbox.js';
import { callErrorOf } from './status.js';

export interface SessionParts {
  readonly asks: Asks;
  readonly coordinator: Pick<Coordinator, 'getOrLock' | 'giveBack' | 'watchLease'>;
  readonly tracing?: Tracing;
  readonly guard?: Guard | undefined;
  unexpected(cause: unknown): void;
}

/** Open calls of one session; what is beyond is refused, and costs nobody else anything. */
const CALLS_MAX = 100_000;

type Response = NonNullable<SessionReply['response']>;

/** Each call as the unary one is named, so that traces need not tell by which way it came. */
const METHODS = {
  getOrLock: contract.getOrLock.path.slice(1),
  publish: contract.publish.path.slice(1),
  release: contract.release.path.slice(1),
  extend: contract.extend.path.slice(1),
  invalidate: contract.invalidate.path.slice(1),
  explain: contract.explain.path.slice(1),
  getOrLockMany: contract.getOrLockMany.path.slice(1),
} satisfies Record<NonNullable<SessionCall['request']>['$case'], string>;

/** The calls and the leases of one session, over one stream after the other. */
export class Session {
  readonly #calls = new Map<number, Call>();
  /** Leases that were given on it and have not ended, by their token. */
  readonly #leases = new Map<string, GivenLease & { readonly callId?: number }>();
  /** Their tokens by the call that each was given to, where a call gets no more than one. */
  readonly #tokens = new Map<number, string>();
  #outbox: Outbox | undefined;
  #onIdle: (() => void) | undefined;
  #visitor: Visitor | undefined;

  constructor(
    private readonly parts: SessionParts,
    readonly identity: string,
    private readonly holder: string,
  ) {}

  get leases(): number {
    return this.#leases.size;
  }

  /** From now on replies go there, to its identity; undefined for nowhere, until the session is resumed. */
  attach(outbox: Outbox | undefined, visitor?: Visitor): void {
    this.#outbox = outbox;
    this.#visitor = visitor;
  }

  /** Throws `invalid_argument` for what breaks the session's own rules; a call's own fault is its reply. */
  take(path: string, { id, deadlineMs, traceparent, request }: SessionCall): void {
    if (!(id > 0)) throw invalid(`${path}.id: ${id} is not above 0`);
    if (this.#calls.has(id)) throw invalid(`${path}.id: ${id} is that of a call that is still open`);
    const call = this.#callOf(deadlineMs, traceparentOf(traceparent), request);
    const full = this.#calls.size >= CALLS_MAX;
    this.#calls.set(id, call);
    try {
      if (this.#visitor !== undefined) this.parts.guard?.readmit(this.#visitor, 'Session');
      if (full) throw new CoordinationError('exhausted', `${CALLS_MAX} calls are open on this session`, 250);
      if (deadlineMs !== undefined && !(deadlineMs >= 0)) throw invalid('deadline_ms: is below 0');
      if (request?.$case === 'getOrLock') this.#getOrLock(id, call, request.value);
      else {
        this.#answerLater(id, call, request).then(
          (response) => this.#close(id, call, response),
          (error) => this.#fail(id, call, error),
        );
      }
    } catch (error) {
      this.#fail(id, call, error);
    }
  }

  #callOf(deadlineMs: number | undefined, traceparent: string, request: SessionCall['request']): Call {
    const { tracing } = this.parts;
    const trace = tracing?.call(METHODS[request?.$case ?? 'getOrLock'], traceparent);
    return new Call(this.identity, deadlineMs ?? Number.POSITIVE_INFINITY, traceparent, trace);
  }

  /** A call that was answered with a lease has crossed its own end on the way: nobody will use that lease. */
  cancel(id: number): void {
    this.#calls.get(id)?.cancel();
    const given = this.#leases.get(this.#tokens.get(id) ?? '');
    if (given === undefined) return;
    this.#forget(given.lease.token);
    const { coordinator, unexpected } = this.parts;
    void coordinator.giveBack(given.key, given.lease).catch(unexpected);
  }

  /** Nobody waits for any of its calls any more. */
  cancelAll(): void {
    for (const call of this.#calls.values()) call.cancel();
  }

  /** Resolves when no call is open. */
  idle(): Promise<void> {
    if (this.#calls.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Its client is gone for good: what it held goes to the next in line at once. */
  async end(): Promise<void> {
    this.cancelAll();
    const leases = [...this.#leases.values()];
    this.#leases.clear();
    this.#tokens.clear();
    const { coordinator, unexpected } = this.parts;
    await Promise.all(
      leases.map(({ key, lease }) => coordinator.giveBack(key, lease, 'session_lost').catch(unexpected)),
    );
  }

  #close(id: number, call: Call, response: Response | undefined): void {
    this.#calls.delete(id);
    call.trace?.end(call.cancelled ? status.CANCELLED : codeOf(response));
    if (response !== undefined && !call.cancelled) this.#outbox?.reply({ id, more: false, response });
    if (this.#calls.size === 0) this.#onIdle?.();
  }

  #fail(id: number, call: Call, error: unknown): void {
    this.#close(id, call, { $case: 'error', value: callErrorOf(error, this.parts.unexpected) });
  }

  /** The hot path: neither a hit in this replica's memory nor a wait costs a promise. */
  #getOrLock(id: number, call: Call, value: GetOrLockRequest): void {
    const message = value.holder === '' ? { ...value, holder: this.holder } : value;
    const known = this.parts.asks.getOrLock(message, call, (it) =>
      it instanceof Error ? this.#fail(id, call, it) : this.#handOut(id, call, it),
    );
    if (known !== undefined) this.#handOut(id, call, known);
  }

  #handOut(id: number, call: Call, { response, given }: Answered): void {
    const reply: Response = { $case: 'getOrLock', value: response };
    if (given === undefined) this.#close(id, call, reply);
    else {
      this.#holds({ ...given, callId: id }, call).then(
        (holds) => this.#close(id, call, holds ? reply : undefined),
        (error) => this.#fail(id, call, error),
      );
    }
  }

  async #answerLater(id: number, call: Call, request: SessionCall['request']): Promise<Response | undefined> {
    const { asks } = this.parts;
    switch (request?.$case) {
      case 'publish':
        this.#forget(request.value.token);
        return { $case: 'publish', value: await asks.publish(request.value, call) };
      case 'release':
        this.#forget(request.value.token);
        return { $case: 'release', value: await asks.release(request.value, call) };
      case 'extend':
        return { $case: 'extend', value: await this.#extend(request.value, call) };
      case 'invalidate':
        return { $case: 'invalidate', value: await asks.invalidate(request.value, call) };
      case 'explain':
        return { $case: 'explain', value: await asks.explain(request.value, call) };
      case 'getOrLockMany':
        return this.#many(id, call, request.value);
      default:
        throw invalid('request: nothing is set; exactly one must be');
    }
  }

  /** A lease of another session, which perhaps has broken off, belongs to this one once this one extends it. */
  async #extend(message: ExtendRequest, call: Call): Promise<ExtendResponse> {
    const { asks } = this.parts;
    const response = await asks.extend(message, call);
    if (this.#leases.has(message.token)) return response;
    const given = await asks.takeOver(message, call, response);
    if (given !== undefined) await this.#holds(given, call);
    return response;
  }

  /** One reply a key, and the last of them ends the call. */
  async #many(id: number, call: Call, message: GetOrLockManyRequest): Promise<Response | undefined> {
    const { asks, coordinator, unexpected } = this.parts;
    const requests = asks.getOrLockMany(
      message.holder === '' ? { ...message, holder: this.holder } : message,
      call,
    );
    let left = requests.length;
    let last: GetOrLockManyResponse | undefined;
    const stream = {
      write: (response: GetOrLockManyResponse) => {
        left -= 1;
        if (left === 0) last = response;
        else this.#outbox?.reply({ id, more: true, response: { $case: 'getOrLockMany', value: response } });
        return true;
      },
      once: () => {},
      end: () => {},
    };
    const holding = {
      getOrLock: async (request: (typeof requests)[0], one: Call) => {
        const answer = await coordinator.getOrLock(request, one);
        if (answer.outcome.kind === 'lease')
          await this.#holds({ key: request.key, lease: answer.outcome }, one);
        return answer;
      },
      giveBack: (key: Key, lease: Lease) => coordinator.giveBack(key, lease),
    };
    await answerMany(requests, call, stream, { coordinator: holding, unexpected });
    return last === undefined ? undefined : { $case: 'getOrLockMany', value: last };
  }

  /** False if it was not held. */
  #forget(token: string): boolean {
    this.#tokens.delete(this.#leases.get(token)?.callId ?? 0);
    return this.#leases.delete(token);
  }

  /** False if its caller has gone meanwhile, and the lease was given back. */
  async #holds(given: GivenLease & { readonly callId?: number }, call: Call): Promise<boolean> {
    const { coordinator } = this.parts;
    const { key, lease } = given;
    if (call.cancelled || this.#outbox === undefined) {
      await coordinator.giveBack(key, lease);
      return false;
    }
    this.#leases.set(lease.token, given);
    if (given.callId !== undefined) this.#tokens.set(given.callId, lease.token);
    coordinator.watchLease(key, lease, (end) => {
      // By its holder's own word, perhaps in a call of its own beside this session.
      if (!this.#forget(lease.token) || end === undefined) return;
      const { namespace } = key;
      const lost = { namespace, key: key.key, token: lease.token, end: encodeLeaseEnd(end) };
      this.#outbox?.event({ $case: 'leaseLost', value: lost });
    });
    return true;
  }
}

function codeOf(response: Response | undefined): number {
  return response?.$case === 'error' ? response.value.code : status.OK;
}
