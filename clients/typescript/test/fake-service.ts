import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { DibsClient } from '../src/client.js';
import {
  CoordinatorServiceService,
  GetOrLockResponse,
  type PublishOutcome,
} from '../src/generated/dibs/v1/coordinator.js';
import type { DibsClientOptions } from '../src/options.js';
import type { Transport } from '../src/transport.js';
import { CONNECT_MS } from './patience.js';

type Method = Exclude<keyof Transport, 'close' | 'ready' | 'askGetOrLock' | 'groupsOf'>;
const METHODS: readonly Method[] = ['getOrLock', 'publish', 'release', 'extend', 'invalidate'];

/** The answer to one call. A function gets the request and returns the answer. */
type Answer = object | 'never' | ((request: never) => object | 'never' | Promise<object>);

/** One call as the service saw it. */
interface Heard {
  readonly method: Method;
  readonly request: Record<string, unknown>;
  readonly metadata: Metadata;
  cancelled: boolean;
}

/** An error with which the service ends a call. */
export class Refusal {
  constructor(
    readonly code: number,
    readonly details: string,
    readonly pushbackMs?: number,
  ) {}
}
export const unavailable = (pushbackMs?: number) => new Refusal(status.UNAVAILABLE, 'gone', pushbackMs);

/** A service over real gRPC that gives the answers that a test sets, one per call. */
export class FakeService {
  readonly heard: Heard[] = [];
  readonly #answers = new Map<Method, Answer[]>();
  readonly #server = new Server();
  readonly #clients: DibsClient[] = [];
  #target = '';

  static async start(): Promise<FakeService> {
    const fake = new FakeService();
    const handlers = METHODS.map((method) => [
      method,
      (call: ServerUnaryCall<object, object>, done: sendUnaryData<object>) =>
        void fake.#answer(method, call, done),
    ]);
    const service = Object.fromEntries(METHODS.map((method) => [method, CoordinatorServiceService[method]]));
    fake.#server.addService(service, Object.fromEntries(handlers));
    const port = await new Promise<number>((resolve, reject) =>
      fake.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    fake.#target = `127.0.0.1:${port}`;
    return fake;
  }

  get target(): string {
    return this.#target;
  }

  /** Sets the next answers of a method, in order. The last one is repeated. */
  will(method: Method, ...answers: Answer[]): void {
    this.#answers.set(method, answers);
  }

  client(options: DibsClientOptions = {}): DibsClient {
    const client = new DibsClient({ target: this.#target, connectMs: CONNECT_MS, ...options });
    this.#clients.push(client);
    return client;
  }

  /** The requests of a method. */
  requests(method: Method): Record<string, unknown>[] {
    return this.heard.filter((call) => call.method === method).map(({ request }) => request);
  }

  stop(): void {
    for (const client of this.#clients) client.close();
    this.#server.forceShutdown();
  }

  async #answer(method: Method, call: ServerUnaryCall<object, object>, done: sendUnaryData<object>) {
    const request = call.request as Record<string, unknown>;
    const heard: Heard = { method, request, metadata: call.metadata, cancelled: false };
    this.heard.push(heard);
    let over = false;
    // grpc-js emits this at the end of every call.
    call.on('cancelled', () => {
      heard.cancelled = !over;
    });
    const answers = this.#answers.get(method) ?? [];
    let answer = answers.length > 1 ? answers.shift() : answers[0];
    if (typeof answer === 'function') answer = await answer(call.request as never);
    if (answer === 'never') return;
    over = true;
    if (answer === undefined) answer = new Refusal(status.INTERNAL, `no answer was set for ${method}`);
    if (!(answer instanceof Refusal)) return done(null, answer);
    const metadata = new Metadata();
    if (answer.pushbackMs !== undefined) metadata.set('grpc-retry-pushback-ms', String(answer.pushbackMs));
    done({ code: answer.code, details: answer.details, metadata });
  }
}

const answered = (outcome: GetOrLockResponse['outcome']): GetOrLockResponse =>
  Object.assign(GetOrLockResponse.fromPartial({ degraded: 1 }), { outcome });

const hitOf = (value: Buffer, freshness: number) => ({
  payload: { $case: 'value' as const, value },
  freshness,
  freshForMs: 0,
  fence: 3,
  rebuilding: false,
});

export const hit = (text: string) => answered({ $case: 'hit', value: hitOf(Buffer.from(text), 1) });

/** A lease on a miss, with the old value if `previous` is set. */
export const lease = (token: string, expiresInMs = 10_000, previous?: string) =>
  answered({
    $case: 'lease',
    value: {
      token,
      fence: 4,
      expiresInMs,
      reason: 1,
      previous: previous === undefined ? undefined : hitOf(Buffer.from(previous), 2),
    },
  });

export const busy = (retryAfterMs: number, reason = 1) =>
  answered({ $case: 'busy', value: { retryAfterMs, holderAgeMs: 7, reason } });

export const published = (outcome: PublishOutcome, counts?: boolean) => ({ outcome, fence: 4, counts });
export const RELEASED = { outcome: 1 };
export const LOST = { outcome: 2, expiresInMs: 0 };
