import type { CallOptions, ClientUnaryCall, Metadata, ServiceError } from '@grpc/grpc-js';
import { DibsError, dibsErrorOf } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';
import type { ChannelLink } from './link.js';
import type { NearCache } from './near-cache.js';
import type { CallTerms, Transport } from './transport.js';

/** One unary gRPC call for each call. */
export class UnaryTransport implements Transport {
  #closed = false;

  constructor(
    private readonly link: ChannelLink,
    private readonly near?: Pick<NearCache, 'answeredWithoutSession'>,
  ) {}

  async getOrLock(request: wire.GetOrLockRequest, terms: CallTerms): Promise<wire.GetOrLockResponse> {
    const response = await this.#call<wire.GetOrLockResponse>(terms, (...how) =>
      this.link.stub.getOrLock(request, ...how),
    );
    this.near?.answeredWithoutSession(request.namespace, request.key);
    return response;
  }

  async publish(request: wire.PublishRequest, terms: CallTerms): Promise<wire.PublishResponse> {
    const response = await this.#call<wire.PublishResponse>(terms, (...how) =>
      this.link.stub.publish(request, ...how),
    );
    this.near?.answeredWithoutSession(request.namespace, request.key);
    return response;
  }

  release(request: wire.ReleaseRequest, terms: CallTerms): Promise<wire.ReleaseResponse> {
    return this.#call(terms, (...how) => this.link.stub.release(request, ...how));
  }

  extend(request: wire.ExtendRequest, terms: CallTerms): Promise<wire.ExtendResponse> {
    return this.#call(terms, (...how) => this.link.stub.extend(request, ...how));
  }

  invalidate(request: wire.InvalidateRequest, terms: CallTerms): Promise<wire.InvalidateResponse> {
    return this.#call(terms, (...how) => this.link.stub.invalidate(request, ...how));
  }

  explain(request: wire.ExplainRequest, terms: CallTerms): Promise<wire.ExplainResponse> {
    return this.#call(terms, (...how) => this.link.stub.explain(request, ...how));
  }

  async *getOrLockMany(
    request: wire.GetOrLockManyRequest,
    terms: CallTerms,
  ): AsyncGenerator<wire.GetOrLockManyResponse> {
    this.#refuse(terms);
    const { deadlineMs, signal } = terms;
    const call = this.link.stub.getOrLockMany(request, this.link.metadata(terms.traceparent), {
      deadline: this.link.deadlineAfter(deadlineMs),
    });
    let late: DibsError | undefined;
    this.link.connecting.underWay()?.catch((error) => {
      late = error;
      call.cancel();
    });
    const cancel = () => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      for await (const answer of call as AsyncIterable<wire.GetOrLockManyResponse>) {
        if (answer.result?.$case === 'response')
          this.near?.answeredWithoutSession(request.namespace, answer.key);
        yield answer;
      }
    } catch (error) {
      throw late ?? dibsErrorOf(error as ServiceError);
    } finally {
      signal?.removeEventListener('abort', cancel);
      // A caller that stops listening before the end wants no more answers, and no lease.
      call.cancel();
    }
  }

  ready(deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) =>
      this.link.stub.waitForReady(this.link.deadlineAfter(deadlineMs), (error) => {
        if (error === undefined) resolve();
        else
          reject(
            new DibsError('UNAVAILABLE', `no connection within ${deadlineMs} ms`, undefined, {
              cause: error,
            }),
          );
      }),
    );
  }

  close(): void {
    this.#closed = true;
    this.link.close();
  }

  #refuse({ signal }: CallTerms): void {
    if (this.#closed) throw new DibsError('CANCELLED', 'this client is closed');
    if (signal?.aborted) throw new DibsError('CANCELLED', 'the caller has left');
  }

  async #call<R>(
    terms: CallTerms,
    send: (
      metadata: Metadata,
      options: Partial<CallOptions>,
      done: (error: ServiceError | null, reply: R) => void,
    ) => ClientUnaryCall,
  ): Promise<R> {
    this.#refuse(terms);
    const { deadlineMs, signal } = terms;
    const metadata = this.link.metadata(terms.traceparent);
    const connecting = this.link.connecting.underWay();
    return new Promise((resolve, reject) => {
      const call = send(metadata, { deadline: this.link.deadlineAfter(deadlineMs) }, (error, reply) => {
        signal?.removeEventListener('abort', cancel);
        if (error === null) resolve(reply);
        else reject(dibsErrorOf(error));
      });
      const cancel = () => call.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
      connecting?.catch((late) => {
        reject(late);
        cancel();
      });
    });
  }
}
