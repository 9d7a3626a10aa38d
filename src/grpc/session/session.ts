import { status } from '@grpc/grpc-js';
import type { Visitor } from '../../access/guard.js';
import { Call } from '../../coordination/words/call.js';
import { CoordinationError } from '../../coordination/words/errors.js';
import { type Answered, type AnyRow, answer, type Edge, type GivenLease, refusedAtCost } from '../answer.js';
import { traceparentOf } from '../call-of.js';
import { CALLS } from '../calls.js';
import { invalid } from '../decode.js';
import { encodeLeaseEnd } from '../encode.js';
import {
  CoordinatorServiceService as contract,
  type SessionCall,
  type SessionEvent,
  type SessionReply,
} from '../generated/dibs/v1/coordinator.js';
import { callErrorOf, codeName } from '../status.js';
import { encodeToken } from '../token.js';
import type { Outbox } from './outbox.js';

/** Open calls of one session. Further calls are refused, at no cost to others. */
const CALLS_MAX = 100_000;
/** For a call without a request. */
const SESSION_SPAN = contract.session.path.slice(1);

type Response = NonNullable<SessionReply['response']>;
type Event = NonNullable<SessionEvent['event']>;
type Case = NonNullable<SessionCall['request']>['$case'];

/** A lease of a session, with its call if that call gets at most one. */
type HeldLease = GivenLease & { readonly callId: number };
const ANY_CALL = 0;

/** The calls and leases of one session, over successive streams. */
export class Session {
  readonly #calls = new Map<number, Call>();
  /** The call that is being received, while it has no answer. Most have one at once, and never go into the map. */
  #receiving = 0;
  /** Its running leases, by nonce. */
  readonly #leases = new Map<string, HeldLease>();
  /** Their nonces by call, for calls with at most one lease, until their id is used again. */
  readonly #nonces = new Map<number, string>();
  #outbox: Outbox | undefined;
  /** Events that had no stream: its leases that were lost meanwhile. */
  #unsent: Event[] = [];
  #ended = false;
  #onIdle: (() => void) | undefined;
  #visitor: Visitor | undefined;

  private readonly edge: Edge;
  readonly #paceOfAll: Edge['pace'];

  constructor(
    edge: Edge,
    readonly identity: string,
    holder: string,
  ) {
    this.#paceOfAll = edge.pace;
    this.edge = {
      ...edge,
      holder,
      session: {
        holds: ({ nonce }) => this.#leases.has(nonce),
        forget: ({ nonce }) => this.#forget(nonce),
      },
    };
  }

  get leases(): number {
    return this.#leases.size;
  }

  /** Sends replies to this stream and identity; undefined: nowhere, until the session is resumed. */
  attach(outbox: Outbox | undefined, visitor?: Visitor, pace?: Edge['pace']): void {
    this.#outbox = outbox;
    this.#visitor = visitor;
    this.edge.pace = pace ?? this.#paceOfAll;
    if (outbox !== undefined) for (const event of this.#unsent.splice(0)) outbox.event(event);
  }

  /**
   * Takes the call that stands `at` this place of its message, and returns how much work it was. Throws
   * `invalid_argument` for a violation of the session's rules. A fault in a call is that call's reply.
   */
  receive(at: number, { id, deadlineMs, traceparent, request }: SessionCall): number {
    if (!(id > 0)) throw invalid(`calls[${at}].id: ${id} is not above 0`);
    if (this.#calls.has(id)) throw invalid(`calls[${at}].id: ${id} is already used by an open call`);
    const row: AnyRow | undefined = request && CALLS[request.$case];
    const call = this.#callOf(deadlineMs, traceparentOf(traceparent), row);
    const full = this.#calls.size >= CALLS_MAX;
    // Its client has the answer of an earlier call with this id, so a cancellation means this one.
    if (this.#nonces.size > 0) this.#nonces.delete(id);
    this.#receiving = id;
    try {
      if (this.#visitor !== undefined) this.edge.guard?.readmit(this.#visitor, 'Session');
      if (full)
        throw new CoordinationError(
          'exhausted',
          `too many open calls on this session (at most ${CALLS_MAX})`,
          250,
        );
      if (deadlineMs !== undefined && !(deadlineMs >= 0)) throw invalid('deadline_ms: is below 0');
      if (request === undefined || row === undefined) throw invalid('request: not set; set exactly one');
      // The hot path: a hit in memory and a wait cost no promise.
      const done = (it: Answered<unknown> | Error) => this.#answered(id, call, request.$case, it);
      answer(row, request.value, call, this.edge, done, this.#visitor);
      if (this.#receiving === id) this.#keep(id, call);
      return row.work(request.value);
    } catch (error) {
      // Without its credentials, it must not use up the calls of those who still have some.
      const isKnown = this.#visitor?.isKnown !== false;
      const told = isKnown ? refusedAtCost(error, this.identity, this.edge) : error;
      this.#fail(id, call, told, row?.name);
      return 1;
    }
  }

  #keep(id: number, call: Call): void {
    this.#receiving = 0;
    this.#calls.set(id, call);
  }

  #callOf(deadlineMs: number | undefined, traceparent: string, row: AnyRow | undefined): Call {
    // The same name as for a unary call, so traces are independent of the carrier.
    const trace = this.edge.tracing?.call(row?.span ?? SESSION_SPAN, traceparent);
    return new Call(this.identity, deadlineMs ?? Number.POSITIVE_INFINITY, traceparent, trace);
  }

  /** Cancels a call. If its lease is already on the way, the caller will not use it, so release it. */
  cancel(id: number): void {
    this.#calls.get(id)?.cancel();
    const given = this.#leases.get(this.#nonces.get(id) ?? '');
    if (given === undefined) return;
    this.#forget(given.lease.token.nonce);
    void this.#giveBack(given);
  }

  /** Cancels all of its calls. Their ids are free again: the stream that resumes the session may use them again. */
  cancelAll(): void {
    for (const call of this.#calls.values()) call.cancel();
    this.#calls.clear();
  }

  /** Resolves when no call is open. */
  idle(): Promise<void> {
    if (this.#calls.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onIdle = resolve;
    });
  }

  /** Its client is gone for good. Its leases go to the next waiters at once. */
  async end(): Promise<void> {
    this.#ended = true;
    this.cancelAll();
    const leases = [...this.#leases.values()];
    this.#leases.clear();
    this.#nonces.clear();
    await Promise.all(leases.map((given) => this.#giveBack(given, 'session_lost')));
  }

  #close(id: number, call: Call, response: Response | undefined, valueBytes = 0): void {
    if (this.#receiving === id) this.#receiving = 0;
    else if (this.#calls.get(id) === call) this.#calls.delete(id);
    call.trace?.end(call.cancelled ? status.CANCELLED : codeOf(response));
    if (response !== undefined && !call.cancelled)
      this.#outbox?.reply({ id, more: false, response }, valueBytes);
    if (this.#calls.size === 0) this.#onIdle?.();
  }

  #fail(id: number, call: Call, error: unknown, method = 'Session'): void {
    const told = callErrorOf(error, this.#unexpected);
    if (!call.cancelled) this.edge.failed(method, codeName(told.code));
    this.#close(id, call, { $case: 'error', value: told });
  }

  #answered(id: number, call: Call, $case: Case, it: Answered<unknown> | Error): void {
    if (it instanceof Error) {
      this.#fail(id, call, it, CALLS[$case].name);
      return;
    }
    const { given, valueBytes, more } = it;
    if (given !== undefined) {
      const unwanted = this.#whyUnwanted(given, call);
      if (unwanted !== undefined) {
        // The call stays open until the lease is released.
        void this.#giveBack(given, unwanted).then(() => more || this.#close(id, call, undefined));
        return;
      }
      this.#hold({ ...given, callId: given.isTakenOver || CALLS[$case].streams ? ANY_CALL : id });
    }
    // A row's response is of the same case as its request.
    const response = { $case, value: it.response } as Response;
    if (!more) this.#close(id, call, response, valueBytes);
    else if (!call.cancelled) this.#outbox?.reply({ id, more, response }, valueBytes);
  }

  /** How a lease ends if its caller has left meanwhile. If it was taken over, its holder left only the extension. */
  #whyUnwanted({ isTakenOver }: GivenLease, { cancelled }: Call): 'cancelled' | 'session_lost' | undefined {
    if (isTakenOver) return this.#ended ? 'session_lost' : undefined;
    return cancelled || this.#outbox === undefined ? 'cancelled' : undefined;
  }

  /** False if the session did not hold it. */
  #forget(nonce: string): boolean {
    const { callId = ANY_CALL } = this.#leases.get(nonce) ?? {};
    // A later call with its id may hold a lease too.
    if (this.#nonces.get(callId) === nonce) this.#nonces.delete(callId);
    return this.#leases.delete(nonce);
  }

  #hold(held: HeldLease): void {
    const { key, lease, callId } = held;
    const { token } = lease;
    // A retry got it again: a late cancellation of the call before must not end it.
    this.#forget(token.nonce);
    // The earlier watch ends here, also one of this session.
    this.edge.coordinator.watchLease(lease, (end) => {
      // Ended by its holder, perhaps in a call outside this session, or another session has it.
      if (!this.#forget(token.nonce) || end === undefined) return;
      const { namespace } = key;
      const lost = { namespace, key: key.key, token: encodeToken(key, token), end: encodeLeaseEnd(end) };
      this.#tell({ $case: 'leaseLost', value: lost });
    });
    this.#leases.set(token.nonce, held);
    if (callId !== ANY_CALL) this.#nonces.set(callId, token.nonce);
  }

  #tell(event: Event): void {
    if (this.#outbox === undefined) this.#unsent.push(event);
    else this.#outbox.event(event);
  }

  async #giveBack({ key, lease }: GivenLease, end?: 'cancelled' | 'session_lost'): Promise<void> {
    try {
      await this.edge.coordinator.giveBack(key, lease, end);
    } catch (error) {
      this.#unexpected(error);
    }
  }

  readonly #unexpected = (cause: unknown) => this.edge.unexpected(cause, contract.session.path);
}

function codeOf(response: Response | undefined): number {
  return response?.$case === 'error' ? response.value.code : status.OK;
}
