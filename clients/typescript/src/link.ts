import { readFileSync } from 'node:fs';
import { type ClientOptions, credentials, Metadata } from '@grpc/grpc-js';
import { Connecting } from './connecting.js';
import { CoordinatorServiceClient } from './generated/dibs/v1/coordinator.js';

export interface LinkOptions {
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
  // What may be under way on the connection: a session has hundreds of answers in one message.
  'grpc-node.flow_control_window': 4_194_304,
  'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
};

/** The one channel of a client, and what every call on it carries. */
export class Link {
  readonly stub: CoordinatorServiceClient;
  readonly connecting: Connecting;
  readonly #authorization: string;

  constructor({ target, token, tlsCa, connectMs }: LinkOptions) {
    const security = tlsCa === '' ? credentials.createInsecure() : credentials.createSsl(readFileSync(tlsCa));
    this.stub = new CoordinatorServiceClient(target, security, CHANNEL);
    this.connecting = new Connecting(this.stub.getChannel(), connectMs);
    this.#authorization = token === '' ? '' : `Bearer ${token}`;
  }

  metadata(traceparent = ''): Metadata {
    const metadata = new Metadata();
    if (this.#authorization !== '') metadata.set('authorization', this.#authorization);
    if (traceparent !== '') metadata.set('traceparent', traceparent);
    return metadata;
  }

  close(): void {
    this.stub.close();
  }
}
