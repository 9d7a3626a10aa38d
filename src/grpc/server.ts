import { isIPv6, type Socket } from 'node:net';
import {
  type ConnectionInjector,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Guard } from '../access/guard.js';
import type { TlsMaterial } from '../config/tls-files.js';
import type { Clock } from '../coordination/ports/clock.js';
import { KEY_BYTES_MAX, KEYS_MAX } from './decode.js';
import { Door, type DoorParts, STREAMS_BEFORE_ADMISSION } from './door/door.js';
import { http2ServersOf } from './door/http2-servers.js';
import { atEachAddress } from './each-address.js';
import { TlsCredentials } from './tls-credentials.js';
import { freeSocketPath } from './unix-socket.js';

/** A service and its handlers. */
export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** Connections that another process accepts for this server. */
export interface AcceptedConnections {
  /** Where the other process listens, with the actual ports. */
  readonly addresses: readonly string[];
  /** Passes on each connection from now on, with the address that it came to. */
  passTo(take: (socket: Socket, address: string) => void): void;
  /** The server is about to refuse calls: no further connection is passed on. */
  enough(): void;
}

export interface GrpcServerOptions {
  /** Each is `HOST:PORT`, `[IPV6]:PORT` or `unix:///path`. Port 0 takes a free one. */
  readonly listen: readonly string[];
  /** Instead of `listen`. */
  readonly accepted?: AcceptedConnections | undefined;
  readonly services: readonly GrpcService[];
  readonly valueBytesMax: number;
  readonly waitersMax: number;
  readonly waitersPerKeyMax: number;
  /** Absent: plaintext. Unix sockets are always plaintext, because they do not leave the machine. */
  readonly tls?: TlsMaterial | undefined;
  /** How long a connection accepts new calls. Its client then reconnects, and so finds new replicas. */
  readonly connectionAgeMs: number;
  readonly connectionsMax: number;
  /** Of encoded answers that clients have not read. */
  readonly unsentBytesMax: number;
  readonly clock: Pick<Clock, 'nowMs'>;
  /** Absent without identities: every caller is admitted. */
  readonly guard: Guard | undefined;
  /** Whether requests may be compressed. */
  readonly compressedRequests: boolean;
  /** Receives each error that a caller gets at the door. */
  readonly failed: DoorParts['failed'];
  /** Receives each connection that is refused or cut off. */
  readonly connectionRefused: DoorParts['connectionRefused'];
  /** Receives each client whose TLS handshake fails. */
  readonly handshakeFailed?: DoorParts['handshakeFailed'];
}

/**
 * The size of a message without its value or keys. Everything else in the contract is below 16 KiB. The rest lets
 * `decode.ts` refuse a slightly too large value by name, before the transport refuses it.
 */
const MESSAGE_SLACK_BYTES = 65_536;
/** Of requests that have not arrived completely: sixty of the largest size, with the defaults. */
const ARRIVING_BYTES_MAX = 67_108_864;
/** Calls that do not wait, in addition to those that wait. Further calls queue in the client. */
const STREAMS_BESIDES_WAITERS = 1_000;
/** A vanished peer is noticed after these two, and its waiters leave. */
const KEEPALIVE_TIME_MS = 60_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;
/** A connection without a call is closed after this time. */
const CONNECTION_IDLE_MS = 300_000;

/** The gRPC server on all of its addresses. */
export class GrpcServer {
  /** Its addresses, with the actual ports. */
  readonly addresses: readonly string[];

  private constructor(
    private readonly server: Server,
    addresses: readonly string[],
    private readonly tls: TlsCredentials | undefined,
    private readonly door: Door,
    private readonly accepted: AcceptedConnections | undefined,
  ) {
    this.addresses = addresses;
  }

  /** Serves once this resolves. If an address is not available, closes the others and rejects. */
  static async bind(options: GrpcServerOptions): Promise<GrpcServer> {
    const door = doorOf(options);
    const server = new Server({
      interceptors: [door.interceptor],
      'grpc.max_receive_message_length': messageBytesMaxOf(options),
      // A connection may have more when one of its callers was admitted.
      'grpc.max_concurrent_streams': STREAMS_BEFORE_ADMISSION,
      'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      // Randomized by a tenth, so that connections from one moment do not end together. Open calls still finish.
      // Sessions are asked to leave after that, so that they return on another connection.
      'grpc.max_connection_age_ms': options.connectionAgeMs,
      'grpc.max_connection_idle_ms': CONNECTION_IDLE_MS,
      // Disabled: channelz counts every call of every connection for a page that Dibs does not serve.
      'grpc.enable_channelz': 0,
    });
    for (const { definition, implementation } of options.services) {
      server.addService(definition, implementation);
    }
    const tls = options.tls && new TlsCredentials(options.tls);
    try {
      const addresses = await openAll(server, door, tls, options);
      return new GrpcServer(server, addresses, tls, door, options.accepted);
    } catch (error) {
      door.close();
      server.forceShutdown();
      throw error;
    }
  }

  /** Serves new connections with this certificate. Only if TLS was on from the start. */
  renewTls(material: TlsMaterial): void {
    this.tls?.renew(material);
  }

  /** Refuses new calls. Resolves when open calls have ended, or were cancelled after `graceMs`. */
  stop(graceMs: number): Promise<void> {
    this.accepted?.enough();
    return new Promise((resolve) => {
      const cutOff = setTimeout(() => {
        // grpc-js ends only connections that channelz counts.
        this.door.close();
        this.server.forceShutdown();
      }, graceMs);
      this.server.tryShutdown(() => {
        clearTimeout(cutOff);
        this.door.close();
        resolve();
      });
    });
  }
}

function messageBytesMaxOf({ valueBytesMax }: GrpcServerOptions): number {
  const keysBytesMax = KEYS_MAX * (KEY_BYTES_MAX + 3);
  return Math.max(valueBytesMax, keysBytesMax) + MESSAGE_SLACK_BYTES;
}

function doorOf(options: GrpcServerOptions): Door {
  const {
    clock,
    guard,
    compressedRequests,
    failed,
    connectionRefused,
    handshakeFailed,
    connectionsMax,
    unsentBytesMax,
    waitersMax,
    waitersPerKeyMax,
  } = options;
  const bounds = {
    connectionsMax,
    streamsMax: waitersMax + STREAMS_BESIDES_WAITERS,
    streamsPerConnectionMax: waitersPerKeyMax + STREAMS_BESIDES_WAITERS,
    unsentBytesMax,
    arrivingBytesMax: Math.max(ARRIVING_BYTES_MAX, 4 * messageBytesMaxOf(options)),
  };
  return new Door({ clock, guard, compressedRequests, bounds, failed, connectionRefused, handshakeFailed });
}

/** Listens at each address, or takes the connections that another process accepts there. Returns the addresses. */
async function openAll(
  server: Server,
  door: Door,
  tls: TlsCredentials | undefined,
  { listen, accepted }: GrpcServerOptions,
): Promise<readonly string[]> {
  const plain = ServerCredentials.createInsecure();
  const injectors = new Map<string, ConnectionInjector>();
  const addresses = [];
  for (const address of accepted?.addresses ?? listen) {
    const credentials = address.startsWith('unix:') ? plain : (tls ?? plain);
    const kept = new Set(http2ServersOf(server));
    if (accepted === undefined) addresses.push(await listenAt(server, address, credentials));
    else injectors.set(address, server.createConnectionInjector(credentials));
    for (const one of http2ServersOf(server)) if (!kept.has(one)) door.keep(one);
  }
  if (accepted === undefined) return addresses;
  accepted.passTo((socket, address) => injectors.get(address)?.injectConnection(socket));
  return accepted.addresses;
}

/** What the system says, without what grpc-js puts around it. */
function reasonOf({ message }: Error): string {
  return /^No address added out of total \d+ resolved errors: \[(.+)\]$/.exec(message)?.[1] ?? message;
}

async function listenAt(server: Server, address: string, credentials: ServerCredentials): Promise<string> {
  const bind = (at: string) =>
    new Promise<number>((resolve, reject) => {
      server.bindAsync(at, credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
    });
  try {
    if (!address.startsWith('unix:')) {
      return await atEachAddress(address, (host, port) =>
        bind(`${isIPv6(host) ? `[${host}]` : host}:${port}`),
      );
    }
    await freeSocketPath(address.slice('unix://'.length));
    await bind(address);
    return address;
  } catch (error) {
    throw new Error(`cannot listen at ${address}: ${reasonOf(error as Error)}`);
  }
}
