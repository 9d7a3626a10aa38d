import type { ServiceError } from '@grpc/grpc-js';
import { answersAsTheyCome } from './answers-as-they-come.js';
import { closed, gone, late, refusalOf } from './call-ends.js';
import type { Changes } from './changes.js';
import type { Clock } from './clock.js';
import { Deadlines } from './deadlines.js';
import { callErrorOf, DibsError, withCause } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';
import type { SignalLike } from './light-signal.js';
import type { ChannelLink } from './link.js';
import type { NearCache } from './near-cache.js';
import { NoSession, SessionRefused } from './no-session.js';
import { type Caller, type Of, OpenCall, type Response } from './open-call.js';
import { OpenCalls } from './open-calls.js';
import { afterRunning } from './running-time.js';
import type { Line } from './session-line.js';
import { bytesOf, encoded, endOf, oneMessage } from './session-messages.js';
import type { PooledSession, SessionEvents } from './session-pool.js';
import type { CallTerms } from './transport.js';
import { releaseUnwanted } from './unwanted-leases.js';

type Request = NonNullable<wire.SessionCall['request']>;

export interface SessionTransportOptions {
  readonly clock: Clock;
  /** How long the confirmation of a session may take, in milliseconds of this process's own running time. */
  readonly connectMs: number;
  readonly holder: string;
  /** A lease of this session is over: its publish would not be stored. */
  leaseLost(lost: wire.LeaseLost): void;
  /** Filled by answers. */
  readonly near?: NearCache | undefined;
  /** Receives changes. */
  readonly changes?: Changes | undefined;
  readonly events?: SessionEvents | undefined;
}

/**
 * All calls on one stream. Calls of one turn of the event loop leave in one message, and answers come in any order. A
 * draining replica gets no new calls, and still answers the open ones.
 */
export class SessionTransport implements PooledSession {
  #line: Line | undefined;
  #nextId = 1;
  #resumeToken = '';
  #closed = false;
  readonly #deadlines: Deadlines<OpenCall<Line>>;

  constructor(
    private readonly link: ChannelLink,
    private readonly options: SessionTransportOptions,
  ) {
    this.#deadlines = new Deadlines((call) => this.#leftBy(call, late(call.deadlineMs)), options.clock);
  }

  getOrLock(request: wire.GetOrLockRequest, terms: CallTerms): Promise<wire.GetOrLockResponse> {
    return new Promise((resolve, reject) => this.askGetOrLock(request, terms, resolve, reject));
  }

  askGetOrLock(
    request: wire.GetOrLockRequest,
    terms: CallTerms,
    answered: (response: wire.GetOrLockResponse) => void,
    failed: (error: DibsError) => void,
  ): void {
    const { near } = this.options;
    const watch = near === undefined || this.#closed ? undefined : this.#live().watch;
    const asking = watch && near?.ask(request.namespace, request.key, watch);
    const asked = { $case: 'getOrLock', value: request } as const;
    if (near === undefined || asking === undefined) {
      this.#ask(asked, terms, answered, failed);
      return;
    }
    const heard = (response: wire.GetOrLockResponse) => {
      near.answered(asking, response);
      answered(response);
    };
    this.#ask(asked, terms, heard, (error) => {
      near.answered(asking, undefined);
      failed(error);
    });
  }

  publish(request: wire.PublishRequest, terms: CallTerms): Promise<wire.PublishResponse> {
    return this.#asked({ $case: 'publish', value: request }, terms);
  }

  release(request: wire.ReleaseRequest, terms: CallTerms): Promise<wire.ReleaseResponse> {
    return this.#asked({ $case: 'release', value: request }, terms);
  }

  extend(request: wire.ExtendRequest, terms: CallTerms): Promise<wire.ExtendResponse> {
    return this.#asked({ $case: 'extend', value: request }, terms);
  }

  invalidate(request: wire.InvalidateRequest, terms: CallTerms): Promise<wire.InvalidateResponse> {
    return this.#asked({ $case: 'invalidate', value: request }, terms);
  }

  explain(request: wire.ExplainRequest, terms: CallTerms): Promise<wire.ExplainResponse> {
    return this.#asked({ $case: 'explain', value: request }, terms);
  }

  getOrLockMany(
    request: wire.GetOrLockManyRequest,
    terms: CallTerms,
  ): AsyncIterable<wire.GetOrLockManyResponse> {
    const { near } = this.options;
    const asked = { $case: 'getOrLockMany', value: request } as const;
    const ask = (more: (answer: wire.GetOrLockManyResponse) => void, signal: SignalLike) => {
      const watch = near === undefined || this.#closed ? undefined : this.#live().watch;
      if (near === undefined || watch === undefined) return this.#asked(asked, { ...terms, signal }, more);
      const asking = near.askMany(request.namespace, request.keys, watch);
      const heard = (answer: wire.GetOrLockManyResponse) => {
        asking.answered(answer);
        return answer;
      };
      return this.#asked(asked, { ...terms, signal }, (answer) => more(heard(answer)))
        .then(heard)
        .finally(() => asking.end());
    };
    return answersAsTheyCome(ask, terms.signal, releaseUnwanted(this, request.namespace));
  }

  get peer(): string | undefined {
    return this.#line?.confirm === undefined ? this.#line?.stream.getPeer() : undefined;
  }

  /** Resolves when it is confirmed, and rejects if it cannot be opened. */
  ready(): Promise<void> {
    if (this.#closed) return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      const line = this.#live();
      if (line.confirm === undefined) resolve();
      else line.expected.push((error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  open(): void {
    try {
      this.#live();
    } catch {
      // No token is available now. The calls report that, and this is tried again.
      this.options.events?.broken();
    }
  }

  leave(): void {
    if (this.#line !== undefined) this.#leave(this.#line);
  }

  close(): void {
    this.#closed = true;
    // Open calls still end.
    this.leave();
  }

  #asked<Case extends Response['$case']>(
    request: Request & { readonly $case: Case },
    terms: CallTerms,
    more?: (value: Of<Case>) => void,
  ): Promise<Of<Case>> {
    return new Promise((resolve, reject) => this.#ask<Case>(request, terms, resolve as never, reject, more));
  }

  #ask<Case extends Response['$case']>(
    request: Request & { readonly $case: Case },
    { deadlineMs, signal, traceparent = '' }: CallTerms,
    answered: (value: Of<Case>) => void,
    failed: (error: DibsError) => void,
    more?: (value: Of<Case>) => void,
  ): void {
    const refusal = this.#closed ? closed() : refusalOf(deadlineMs, signal);
    if (refusal !== undefined) {
      failed(refusal);
      return;
    }
    const line = this.#live();
    const id = this.#nextId++;
    const caller = { expected: request.$case, answered, failed, more } as Caller;
    const call = new OpenCall(line, id, deadlineMs, caller);
    this.#deadlines.set(call, deadlineMs);
    if (signal !== undefined) {
      const leave = () => this.#leftBy(call, gone());
      signal.addEventListener('abort', leave, { once: true });
      call.onEnd = () => signal.removeEventListener('abort', leave);
    }
    line.used = true;
    line.calls.add(call);
    line.calling.push({ id, deadlineMs: Math.ceil(deadlineMs), traceparent, request });
    this.#plan(line);
  }

  /** Its caller no longer waits. Tells the service. */
  #leftBy(call: OpenCall<Line>, error: DibsError): void {
    const { line } = call;
    const unsent = line.calling.findIndex(({ id }) => id === call.id);
    if (unsent >= 0) line.calling.splice(unsent, 1);
    else {
      line.cancelled.push(call.id);
      if (call.hasSeveralAnswers) line.calls.leave(call);
    }
    this.#plan(line);
    this.#end(call, error);
  }

  #end(call: OpenCall<Line>, outcome: Response | DibsError): void {
    const { line } = call;
    if (!line.calls.delete(call.id)) return;
    this.#deadlines.cancel(call);
    call.onEnd?.();
    call.settle(outcome);
    this.#endIfLeft(line);
  }

  #plan(line: Line): void {
    if (line.planned) return;
    line.planned = true;
    this.options.clock.soon(() => {
      line.planned = false;
      this.#flush(line);
    });
  }

  #flush(line: Line): void {
    const { calling, cancelled, stream } = line;
    if (calling.length + cancelled.length === 0 || stream.destroyed || stream.writableEnded) return;
    line.calling = [];
    line.cancelled = [];
    let cancelledIds = cancelled;
    for (let from = 0; from < calling.length || cancelledIds.length > 0; ) {
      const calls = oneMessage(calling, from);
      from += calls.length;
      const { messages, broken } = encoded(calls, cancelledIds);
      for (const message of messages) stream.write(message);
      for (const { id, error } of broken) {
        const call = line.calls.get(id);
        if (call !== undefined) this.#end(call, error);
      }
      cancelledIds = [];
    }
  }

  /** The stream for new calls. Opens one if there is none. */
  #live(): Line {
    if (this.#line !== undefined) return this.#line;
    const { holder, connectMs, changes, clock } = this.options;
    const connecting = this.link.connecting.underWay();
    const stream = this.link.session();
    const give = (error: DibsError) => {
      this.#broken(line, error);
      stream.cancel();
    };
    const tooLate = new DibsError('UNAVAILABLE', `no session within ${connectMs} ms`);
    const confirm = afterRunning(connectMs, () => give(tooLate), clock);
    const line: Line = {
      ...{ stream, confirm, watch: changes?.watch(), calls: new OpenCalls(), expected: [] },
      ...{ calling: [], cancelled: [], planned: false, used: false, leaving: false, over: false },
    };
    this.#line = line;
    connecting?.catch(give);
    stream.on('data', (message: wire.SessionResponse) => this.#heard(line, message));
    stream.on('error', (error: ServiceError) => this.#broken(line, endOf(error)));
    stream.on('end', () => this.#broken(line, new DibsError('UNAVAILABLE', 'the session was closed')));
    const watchedNamespaces = [...(changes?.namespaces ?? [])];
    const hello = { resumeToken: this.#resumeToken, holder, watchedNamespaces };
    stream.write(bytesOf({ hello, calls: [], cancelledIds: [] }));
    return line;
  }

  #heard(line: Line, { welcome, replies, events }: wire.SessionResponse): void {
    // A message of a stream that was given up a moment ago.
    if (line.over) return;
    if (welcome !== undefined) {
      line.confirm?.();
      line.confirm = undefined;
      if (line.watch?.beat()) this.options.changes?.missed();
      this.options.changes?.began();
      this.#resumeToken = welcome.resumeToken;
      this.options.events?.opened();
      for (const tell of line.expected.splice(0)) tell();
    }
    for (const { id, more, response } of replies) {
      const open = line.calls.get(id);
      const call = open ?? line.calls.left(id);
      if (call === undefined || response === undefined) continue;
      if (response.$case === 'error') this.#failed(call, callErrorOf(response.value));
      else if (more || call !== open) call.tell(response);
      else this.#end(call, response);
    }
    for (const { event } of events) {
      if (event?.$case === 'leaseLost') this.options.leaseLost(event.value);
      else if (event?.$case === 'invalidated') this.options.changes?.changed(event.value);
      else if (event?.$case === 'beat' && line.watch?.beat()) this.options.changes?.missed();
      else if (event?.$case === 'draining') this.#leave(line);
    }
  }

  #failed(call: OpenCall<Line>, error: DibsError): void {
    const isRefused = error.code === 'UNAUTHENTICATED';
    if (isRefused) this.#leave(call.line);
    this.#end(call, isRefused ? withCause(error, new SessionRefused(error.message)) : error);
  }

  /** New calls go to another replica. The open ones are still answered on this stream. */
  #leave(line: Line): void {
    // Each refused call says so. A later line has a token and copies of its own.
    if (line.leaving) return;
    if (this.#line === line) this.#line = undefined;
    this.#unwatched(line);
    this.#resumeToken = '';
    line.leaving = true;
    this.#endIfLeft(line);
  }

  #endIfLeft(line: Line): void {
    if (!line.leaving || line.calls.size > 0) return;
    this.#flush(line);
    line.stream.end();
  }

  /**
   * It reports no more changes. Without a call, no copy depends on it. So a session that meets the replica of another
   * one, again and again while an address is down, drops nothing.
   */
  #unwatched(line: Line): void {
    line.watch?.end();
    if (line.used) this.options.changes?.missed();
  }

  #broken(line: Line, error: DibsError): void {
    // The end of a stream may be reported in several ways.
    if (line.over) return;
    line.over = true;
    if (this.#line === line) this.#line = undefined;
    this.#unwatched(line);
    const confirmed = line.confirm === undefined;
    line.confirm?.();
    const cause = new NoSession(error.message, { cause: error });
    const outcome = confirmed ? error : new DibsError(error.code, error.message, undefined, { cause });
    for (const tell of line.expected.splice(0)) tell(outcome);
    for (const call of line.calls.all()) this.#end(call, outcome);
    if (!line.leaving) this.options.events?.broken();
  }
}
