import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import {
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { TlsMaterial } from '../config/tls-files.js';
import { KEY_BYTES_MAX, KEYS_MAX } from './decode.js';
import { TlsCredentials } from './tls-credentials.js';

/** A service and what answers its calls. */
export interface GrpcService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

export interface GrpcServerOptions {
  /** `HOST:PORT`, `[IPV6]:PORT` or `unix:///path` each; port 0 takes a free one. */
  readonly listen: readonly string[];
  readonly services: readonly GrpcService[];
  readonly valueBytesMax: number;
  readonly waitersMax: number;
  /** Absent: plaintext. Unix sockets are plaintext anyway: they do not leave the machine. */
  readonly tls?: TlsMaterial | undefined;
  /** How long a connection takes new calls; its client goes to another one then, to replicas that are new as well. */
  readonly connectionAgeMs: number;
}

/**
 * What a message may have besides its value or its keys: everything else of the contract is below 16 KiB.
 * The rest makes sure that a value just over its bound is refused by name and not by the transport.
 */
const MESSAGE_SLACK_BYTES = 65_536;
/** Calls that do not wait, beyond those that do: a connection with more of them queues in its client. */
const STREAMS_BESIDES_WAITERS = 1_000;
/** A peer that vanished without a word is noticed after these two, and its waiters leave. */
const KEEPALIVE_TIME_MS = 60_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;
/** A connection without a call, or without a word at all, is closed after that. */
const CONNECTION_IDLE_MS = 300_000;

/** The gRPC server on all of its addresses. */
export class GrpcServer {
  /** Where it listens, with the ports that it was given. */
  readonly addresses: readonly string[];

  private constructor(
    private readonly server: Server,
    addresses: readonly string[],
    private readonly tls: TlsCredentials | undefined,
  ) {
    this.addresses = addresses;
  }

  /** Serves once this resolves. Rejects, and listens nowhere, if one of the addresses cannot be had. */
  static async bind(options: GrpcServerOptions): Promise<GrpcServer> {
    const keysBytesMax = KEYS_MAX * (KEY_BYTES_MAX + 3);
    const server = new Server({
      'grpc.max_receive_message_length': Math.max(options.valueBytesMax, keysBytesMax) + MESSAGE_SLACK_BYTES,
      'grpc.max_concurrent_streams': options.waitersMax + STREAMS_BESIDES_WAITERS,
      'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
      'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
      // With a tenth more or less by chance, so that those who came together do not leave together. Open calls
      // still end; sessions are asked to leave after that, so that they come back on another connection.
      'grpc.max_connection_age_ms': options.connectionAgeMs,
      'grpc.max_connection_idle_ms': CONNECTION_IDLE_MS,
      // Counts every call of every connection for a page that nobody here looks at.
      'grpc.enable_channelz': 0,
    });
    for (const { definition, implementation } of options.services) {
      server.addService(definition, implementation);
    }
    const tls = options.tls && new TlsCredentials(options.tls);
    const plain = ServerCredentials.createInsecure();
    try {
      const addresses = [];
      for (const address of options.listen) {
        const credentials = address.startsWith('unix:') ? plain : (tls ?? plain);
        addresses.push(await listenAt(server, address, credentials));
      }
      return new GrpcServer(server, addresses, tls);
    } catch (error) {
      server.forceShutdown();
      throw error;
    }
  }

  /** From now on new connections see this certificate. Only where there was one from the start. */
  renewTls(material: TlsMaterial): void {
    this.tls?.renew(material);
  }

  /** No new calls; resolves when the open ones have ended, or have been cut off after `graceMs`. */
  stop(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      const cutOff = setTimeout(() => this.server.forceShutdown(), graceMs);
      this.server.tryShutdown(() => {
        clearTimeout(cutOff);
        resolve();
      });
    });
  }
}

async function listenAt(server: Server, address: string, credentials: ServerCredentials): Promise<string> {
  if (address.startsWith('unix:')) await removeDeadSocket(address.slice('unix:'.length));
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (error !== null) reject(new Error(`cannot listen at ${address}: ${error.message}`));
      else resolve(address.startsWith('unix:') ? address : address.replace(/\d+$/, String(port)));
    });
  });
}

/** A process that was killed leaves its socket's file behind, and the next one could not bind. */
async function removeDeadSocket(url: string): Promise<void> {
  const path = url.replace(/^\/\/+/, '/');
  const dead = await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    // Refused: the file is a socket, and nobody listens on it. Anything else is left alone.
    socket.once('error', (error) => resolve('code' in error && error.code === 'ECONNREFUSED'));
  });
  if (dead) rmSync(path, { force: true });
}
