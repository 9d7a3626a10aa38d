import { readFileSync } from 'node:fs';
import {
  type CallOptions,
  type ClientOptions,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { Connecting } from './connecting.js';
import { DibsError, errorCode } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';
import { CoordinatorServiceClient } from './generated/dibs/v1/coordinator.js';
import type { CallTerms, Transport } from './transport.js';

export interface UnaryTransportOptions {
  /** `HOST:PORT`, `unix:///path` or `dns:///HOST:PORT`; all addresses of the name are used in turn. */
  readonly target: string;
  /** Sent as `authorization: Bearer`; empty for none. */
  readonly token: string;
  /** Path of a PEM file with the authorities that the service's certificate is checked by; empty for no TLS. */
  readonly tlsCa: string;
  /** How long a call waits for a connection before it ends as `UNAVAILABLE`, in milliseconds. */
  readonly connectMs: number;
}

const CHANNEL: ClientOptions = {
  // A link that died without a word is found within 15 s, and the calls on it end.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // Back at a service that restarts within a second; the default would wait up to two minutes.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // The service bounds the values.
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  // What may be sent again is known one storey up.
  'grpc.enable_retries': 0,
  'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
};

/** One unary gRPC call for each call. */
export class UnaryTransport implements Transport {
  readonly #stub: CoordinatorServiceClient;
  readonly #connecting: Connecting;
  readonly #authorization: string;
  #closed = false;

  constructor({ target, token, tlsCa, connectMs }: UnaryTransportOptions) {
    const security = tlsCa === '' ? credentials.createInsecure() : credentials.createSsl(readFileSync(tlsCa));
    this.#stub = new CoordinatorServiceClient(target, security, CHANNEL);
    this.#connecting = new Connecting(this.#stub.getChannel(), connectMs);
    this.#authorization = token === '' ? '' : `Bearer ${token}`;
  }

  getOrLock(request: wire.GetOrLockRequest, terms: CallTerms): Promise<wire.GetOrLockResponse> {
    return this.#call(terms, (...how) => this.#stub.getOrLock(request, ...how));
  }

  publish(request: wire.PublishRequest, terms: CallTerms): Promise<wire.PublishResponse> {
    return this.#call(terms, (...how) => this.#stub.publish(request, ...how));
  }

  release(request: wire.ReleaseRequest, terms: CallTerms): Promise<wire.ReleaseResponse> {
    return this.#call(terms, (...how) => this.#stub.release(request, ...how));
  }

  extend(request: wire.ExtendRequest, terms: CallTerms): Promise<wire.ExtendResponse> {
    return this.#call(terms, (...how) => this.#stub.extend(request, ...how));
  }

  invalidate(request: wire.InvalidateRequest, terms: CallTerms): Promise<wire.InvalidateResponse> {
    return this.#call(terms, (...how) => this.#stub.invalidate(request, ...how));
  }

  explain(request: wire.ExplainRequest, terms: CallTerms): Promise<wire.ExplainResponse> {
    return this.#call(terms, (...how) => this.#stub.explain(request, ...how));
  }

  async *getOrLockMany(
    request: wire.GetOrLockManyRequest,
    terms: CallTerms,
  ): AsyncGenerator<wire.GetOrLockManyResponse> {
    this.#refuse(terms);
    const { deadlineMs, signal } = terms;
    const call = this.#stub.getOrLockMany(request, this.#metadata(terms), {
      deadline: Date.now() + deadlineMs,
    });
    let late: DibsError | undefined;
    this.#connecting.underWay()?.catch((error) => {
      late = error;
      call.cancel();
    });
    const cancel = () => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      yield* call as AsyncIterable<wire.GetOrLockManyResponse>;
    } catch (error) {
      throw late ?? asDibsError(error as ServiceError);
    } finally {
      signal?.removeEventListener('abort', cancel);
      // Whoever stops listening before the end wants no more answers, and no lease.
      call.cancel();
    }
  }

  close(): void {
    this.#closed = true;
    this.#stub.close();
  }

  #refuse({ signal }: CallTerms): void {
    if (this.#closed) throw new DibsError('CANCELLED', 'this client is closed');
    if (signal?.aborted) throw new DibsError('CANCELLED', 'the caller has gone');
  }

  #metadata({ traceparent }: CallTerms): Metadata {
    const metadata = new Metadata();
    if (this.#authorization !== '') metadata.set('authorization', this.#authorization);
    if (traceparent !== undefined && traceparent !== '') metadata.set('traceparent', traceparent);
    return metadata;
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
    const metadata = this.#metadata(terms);
    const connecting = this.#connecting.underWay();
    return new Promise((resolve, reject) => {
      const call = send(metadata, { deadline: Date.now() + deadlineMs }, (error, reply) => {
        signal?.removeEventListener('abort', cancel);
        if (error === null) resolve(reply);
        else reject(asDibsError(error));
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

function asDibsError(error: ServiceError): DibsError {
  const [pushback] = error.metadata?.get('grpc-retry-pushback-ms') ?? [];
  const ms = Number(pushback ?? Number.NaN);
  return new DibsError(
    errorCode(error.code),
    error.details,
    Number.isFinite(ms) && ms >= 0 ? ms : undefined,
    { cause: error },
  );
}
