import { readFileSync } from 'node:fs';
import {
  type CallOptions,
  type ClientOptions,
  type ClientUnaryCall,
  credentials,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { Connecting } from './connecting.js';
import { DibsError, type DibsErrorCode } from './errors.js';
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

  close(): void {
    this.#closed = true;
    this.#stub.close();
  }

  #call<R>(
    { deadlineMs, signal, traceparent }: CallTerms,
    send: (
      metadata: Metadata,
      options: Partial<CallOptions>,
      done: (error: ServiceError | null, reply: R) => void,
    ) => ClientUnaryCall,
  ): Promise<R> {
    if (this.#closed) return Promise.reject(new DibsError('CANCELLED', 'this client is closed'));
    if (signal?.aborted) return Promise.reject(new DibsError('CANCELLED', 'the caller has gone'));
    const metadata = new Metadata();
    if (this.#authorization !== '') metadata.set('authorization', this.#authorization);
    if (traceparent !== undefined && traceparent !== '') metadata.set('traceparent', traceparent);
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

const CODES: Partial<Record<number, DibsErrorCode>> = {
  [status.CANCELLED]: 'CANCELLED',
  [status.DEADLINE_EXCEEDED]: 'DEADLINE_EXCEEDED',
  [status.INTERNAL]: 'INTERNAL',
  [status.INVALID_ARGUMENT]: 'INVALID_ARGUMENT',
  [status.PERMISSION_DENIED]: 'PERMISSION_DENIED',
  [status.RESOURCE_EXHAUSTED]: 'RESOURCE_EXHAUSTED',
  [status.UNAUTHENTICATED]: 'UNAUTHENTICATED',
  [status.UNAVAILABLE]: 'UNAVAILABLE',
  [status.UNIMPLEMENTED]: 'UNIMPLEMENTED',
};

function asDibsError(error: ServiceError): DibsError {
  const [pushback] = error.metadata?.get('grpc-retry-pushback-ms') ?? [];
  const ms = Number(pushback ?? Number.NaN);
  return new DibsError(
    CODES[error.code] ?? 'UNKNOWN',
    error.details,
    Number.isFinite(ms) && ms >= 0 ? ms : undefined,
    { cause: error },
  );
}
