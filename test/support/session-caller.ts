import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import {
  CoordinatorServiceClient,
  GetOrLockRequest,
  type SessionCall,
  type SessionEvent,
  SessionHello,
  type SessionReply,
  type SessionRequest,
  type SessionResponse,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { channelOf, type ShownBy } from './shown-by.js';
import { until } from './until.js';

type Request = NonNullable<SessionCall['request']>;

/** Long, because the machine may run forty busy processes. */
const REPLY_MS_MAX = 30_000;

/** One raw session. It sends exactly what a test says and keeps everything that arrives. */
export class SessionCaller {
  readonly #stub: CoordinatorServiceClient;
  readonly stream: ClientDuplexStream<SessionRequest, SessionResponse>;
  readonly messages: SessionResponse[] = [];
  readonly replies: SessionReply[] = [];
  /** All events except beats, which always arrive. */
  readonly events: SessionEvent[] = [];
  beats = 0;
  ended: ServiceError | 'end' | undefined;
  #nextId = 1;

  constructor(target: string, shownBy: ShownBy = {}) {
    this.#stub = new CoordinatorServiceClient(target, ...channelOf(shownBy));
    this.stream = this.#stub.session();
    this.stream.on('data', (message: SessionResponse) => {
      this.messages.push(message);
      this.replies.push(...message.replies);
      const events = message.events.filter(({ event }) => event?.$case !== 'beat');
      this.beats += message.events.length - events.length;
      this.events.push(...events);
    });
    this.stream.on('error', (error: ServiceError) => {
      this.ended ??= error;
    });
    this.stream.on('end', () => {
      this.ended ??= 'end';
    });
  }

  /** Opens a session and waits for its welcome. */
  static async open(
    target: string,
    hello: Partial<SessionHello> = {},
    shownBy: ShownBy = {},
  ): Promise<SessionCaller> {
    const session = new SessionCaller(target, shownBy);
    session.hello(hello);
    await until(() => session.messages.length > 0, REPLY_MS_MAX);
    return session;
  }

  get welcome(): NonNullable<SessionResponse['welcome']> {
    const welcome = this.messages[0]?.welcome;
    if (welcome === undefined) throw new Error('the first message has no welcome');
    return welcome;
  }

  hello(hello: Partial<SessionHello> = {}): void {
    this.send({ hello: SessionHello.fromPartial(hello) });
  }

  send(message: Partial<SessionRequest>): void {
    this.stream.write({ hello: undefined, calls: [], cancelledIds: [], ...message });
  }

  /** Builds a call for a message. */
  callOf(request: Request, over: Partial<SessionCall> = {}): SessionCall {
    const id = this.#nextId;
    this.#nextId += 1;
    return { id, deadlineMs: undefined, traceparent: '', request, ...over };
  }

  /** Sends one call and returns its id. */
  ask(request: Request, over: Partial<SessionCall> = {}): number {
    const call = this.callOf(request, over);
    this.send({ calls: [call] });
    return call.id;
  }

  get(request: Partial<GetOrLockRequest>, over: Partial<SessionCall> = {}): number {
    return this.ask({ $case: 'getOrLock', value: GetOrLockRequest.fromPartial(request) }, over);
  }

  /** The reply to a call, once it has arrived. */
  async replyTo(id: number): Promise<NonNullable<SessionReply['response']>> {
    await until(() => this.replies.some((reply) => reply.id === id && !reply.more), REPLY_MS_MAX);
    const response = this.replies.find((reply) => reply.id === id && !reply.more)?.response;
    if (response === undefined) throw new Error('a reply without a response');
    return response;
  }

  /** Sends a GetOrLock and returns its lease. */
  async lease(request: Partial<GetOrLockRequest>) {
    const response = await this.replyTo(this.get(request));
    if (response.$case !== 'getOrLock' || response.value.outcome?.$case !== 'lease') {
      throw new Error(`expected a lease, got ${JSON.stringify(response)}`);
    }
    return response.value.outcome.value;
  }

  /** Closes the connection without a goodbye. */
  drop(): void {
    this.stream.cancel();
    this.#stub.close();
  }
}
