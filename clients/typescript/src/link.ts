import {
  type ChannelCredentials,
  type ClientDuplexStream,
  type ClientOptions,
  credentials,
  Metadata,
} from '@grpc/grpc-js';
import { grpcTargetOf } from './address-list.js';
import { CertificatesOfFiles } from './certificates.js';
import { Connecting } from './connecting.js';
import { DibsError } from './errors.js';
import {
  CoordinatorServiceClient,
  CoordinatorServiceService,
  SessionResponse,
} from './generated/dibs/v1/coordinator.js';
import { IdleConnections } from './idle-connections.js';
import { POLICY } from './patient-balancer.js';
import { hasSeveral } from './scheme.js';
import { checkTarget, staysHere } from './target.js';
import { tokenSource } from './token.js';
import { VERSION } from './version.js';
import { NumberReader } from './wire-numbers.js';

export interface LinkOptions {
  /** `HOST:PORT`, `unix:///path` or `dns:///HOST:PORT`. All addresses of the name are used in turn. */
  readonly target: string;
  /** Sent as `authorization: Bearer`; empty for none. A function is called for each connection and each unary call. */
  readonly token?: string | (() => string);
  /** Path of a file with the token. It is read again when it changes. */
  readonly tokenFile?: string;
  /** The token may travel unencrypted to another machine. */
  readonly allowInsecureToken?: boolean;
  /** Path of a PEM file with the authorities to trust for the service's certificate. */
  readonly tlsCa?: string;
  /**
   * Paths of PEM files with the client's own certificate and its key. Any of the three turns TLS on. They are read
   * again for each connection.
   */
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** How long a call waits for a connection before it ends as `UNAVAILABLE`, in milliseconds. */
  readonly connectMs: number;
}

const CHANNEL: ClientOptions = {
  // In front of gRPC's own.
  'grpc.primary_user_agent': `dibs-client-typescript/${VERSION}`,
  // A dead connection is noticed within 15 s, and its calls end.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // Reconnects within a second to a service that restarts. The default would wait up to two minutes.
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // The service bounds the values.
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  // What may be in flight on the connection: a session has hundreds of answers in one message.
  'grpc-node.flow_control_window': 4_194_304,
  'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ [POLICY]: {} }] }),
};

/** The part of a channel that calls need. */
export interface ChannelLink {
  readonly stub: Pick<
    CoordinatorServiceClient,
    | 'getOrLock'
    | 'getOrLockMany'
    | 'publish'
    | 'release'
    | 'extend'
    | 'invalidate'
    | 'explain'
    | 'waitForReady'
  >;
  readonly connecting: Pick<Connecting, 'underWay'>;
  metadata(traceparent?: string): Metadata;
  /** A stream that takes the bytes of messages, because a message that gRPC itself cannot write would end it. */
  session(): ClientDuplexStream<Buffer, SessionResponse>;
  /** The deadline of a call that may take this long. */
  deadlineAfter(ms: number): number;
  close(): void;
}

/** The one channel of a client, and what every call on it carries. */
export class Link implements ChannelLink {
  readonly stub: CoordinatorServiceClient;
  readonly connecting: Connecting;
  readonly #token: () => string;

  /** Throws a {@link DibsError} for options that cannot work. */
  constructor(options: LinkOptions) {
    const { target, connectMs } = options;
    checkTarget(target);
    const security = securityOf(options);
    this.#token = tokenSource(options);
    // Also if its file is still empty, because it is sent as soon as there is one.
    const hasToken = [typeof options.token === 'function', options.tokenFile, this.#token()].some(Boolean);
    if (hasToken && !security._isSecure() && !staysHere(target) && options.allowInsecureToken !== true) {
      throw new DibsError(
        'INVALID_ARGUMENT',
        `token: would be sent unencrypted to ${target}; set tlsCa (DIBS_TLS_CA) or, if the network is protected, allowInsecureToken`,
      );
    }
    this.stub = new CoordinatorServiceClient(grpcTargetOf(target), new IdleConnections(security), {
      ...CHANNEL,
      // gRPC would send even this to the proxy of `http_proxy`: with the token, and to a service that it cannot reach.
      // It would ask the proxy for a list as if that were one address.
      ...(staysHere(target) || hasSeveral(target) ? { 'grpc.enable_http_proxy': 0 } : {}),
    });
    this.connecting = new Connecting(this.stub.getChannel(), connectMs);
  }

  metadata(traceparent = ''): Metadata {
    const metadata = new Metadata();
    const token = this.#token();
    if (token !== '') metadata.set('authorization', `Bearer ${token}`);
    if (traceparent !== '') metadata.set('traceparent', traceparent);
    return metadata;
  }

  /** gRPC takes deadlines on the wall clock. */
  deadlineAfter(ms: number): number {
    return Date.now() + ms;
  }

  session(): ClientDuplexStream<Buffer, SessionResponse> {
    const { path } = CoordinatorServiceService.session;
    const asTheyAre = (bytes: Buffer) => bytes;
    const decode = (bytes: Buffer) => SessionResponse.decode(new NumberReader(bytes));
    return this.stub.makeBidiStreamRequest(path, asTheyAre, decode, this.metadata());
  }

  close(): void {
    this.stub.close();
  }
}

function securityOf({ tlsCa = '', tlsCert = '', tlsKey = '' }: LinkOptions): ChannelCredentials {
  if ((tlsCert === '') !== (tlsKey === '')) {
    throw new DibsError(
      'INVALID_ARGUMENT',
      'tlsCert, tlsKey: one needs the other (DIBS_TLS_CERT, DIBS_TLS_KEY)',
    );
  }
  if (tlsCa === '' && tlsCert === '') return credentials.createInsecure();
  return new CertificatesOfFiles({ tlsCa, tlsCert, tlsKey });
}
