import { Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  CoordinatorServiceClient,
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
  type Lease,
  PublishRequest,
  type PublishResponse,
  ReleaseRequest,
  type ReleaseResponse,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { channelOf, type ShownBy } from './shown-by.js';

/** The fields of a request that a test sets. The others keep their wire defaults. */
type Some<Request> = { [Field in keyof Request]?: Request[Field] };

/** The call's timeout (none by default), and the trace that it belongs to. */
export interface Terms {
  readonly deadlineMs?: number;
  readonly traceparent?: string;
}

/**
 * The raw generated stub of one replica, with promises around it. It has no retry and no local cache, so nothing hides
 * what the service does.
 */
export class Caller {
  readonly #stub: CoordinatorServiceClient;

  constructor(target: string, shownBy: ShownBy = {}) {
    const [security, options] = channelOf(shownBy);
    this.#stub = new CoordinatorServiceClient(target, security, {
      ...options,
      // Finds a restarted replica within a second.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
    });
  }

  getOrLock(request: Some<GetOrLockRequest>, terms?: Terms): Promise<GetOrLockResponse> {
    const wire = GetOrLockRequest.fromPartial(request);
    return reply((done) => this.#stub.getOrLock(wire, metadataOf(terms), deadline(terms), done));
  }

  publish(request: Some<PublishRequest>, terms?: Terms): Promise<PublishResponse> {
    const wire = PublishRequest.fromPartial(request);
    return reply((done) => this.#stub.publish(wire, metadataOf(terms), deadline(terms), done));
  }

  release(request: Some<ReleaseRequest>, terms?: Terms): Promise<ReleaseResponse> {
    const wire = ReleaseRequest.fromPartial(request);
    return reply((done) => this.#stub.release(wire, metadataOf(terms), deadline(terms), done));
  }

  extend(request: Some<ExtendRequest>, terms?: Terms): Promise<ExtendResponse> {
    const wire = ExtendRequest.fromPartial(request);
    return reply((done) => this.#stub.extend(wire, metadataOf(terms), deadline(terms), done));
  }

  invalidate(request: Some<InvalidateRequest>, terms?: Terms): Promise<InvalidateResponse> {
    const wire = InvalidateRequest.fromPartial(request);
    return reply((done) => this.#stub.invalidate(wire, metadataOf(terms), deadline(terms), done));
  }

  explain(request: Some<ExplainRequest>): Promise<ExplainResponse> {
    return reply((done) => this.#stub.explain(ExplainRequest.fromPartial(request), done));
  }

  getOrLockMany(request: Some<GetOrLockManyRequest>): AsyncIterable<GetOrLockManyResponse> {
    return this.#stub.getOrLockMany(GetOrLockManyRequest.fromPartial(request));
  }

  /** Calls getOrLock, and throws unless the answer is a lease. */
  async lease(request: Some<GetOrLockRequest>, terms?: Terms): Promise<Lease> {
    const { outcome } = await this.getOrLock(request, terms);
    if (outcome?.$case !== 'lease') throw new Error(`expected a lease, got ${JSON.stringify(outcome)}`);
    return outcome.value;
  }

  /** Publishes a text. */
  publishText(key: string, token: string, text: string, ttlMs = 60_000): Promise<PublishResponse> {
    return this.publish({ key, token, payload: { $case: 'value', value: Buffer.from(text) }, ttlMs });
  }

  /** Resolves when the connection is open, so that timings do not include the handshake. */
  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stub.waitForReady(Date.now() + 60_000, (error) => (error ? reject(error) : resolve()));
    });
  }

  close(): void {
    this.#stub.close();
  }
}

/** Returns the text of a hit, or a description of any other answer. */
export function textOf({ outcome }: GetOrLockResponse): string {
  if (outcome?.$case !== 'hit') return `no hit: ${JSON.stringify(outcome)}`;
  const { payload } = outcome.value;
  return payload?.$case === 'value' ? Buffer.from(payload.value).toString() : 'absent';
}

function deadline({ deadlineMs }: Terms = {}): { deadline?: number } {
  return deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
}

function metadataOf({ traceparent }: Terms = {}): Metadata {
  const metadata = new Metadata();
  if (traceparent !== undefined) metadata.set('traceparent', traceparent);
  return metadata;
}

function reply<Response>(
  call: (done: (error: ServiceError | null, response: Response) => void) => void,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    call((error, response) => (error ? reject(error) : resolve(response)));
  });
}
