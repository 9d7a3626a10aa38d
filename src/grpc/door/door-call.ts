import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
  type status as Status,
} from '@grpc/grpc-js';
import { FULL_MS } from '../../coordination/waiting/retry-after.js';
import { CoordinationError } from '../../coordination/words/errors.js';
import { admit } from '../credentials.js';
import { failedStatus } from '../failure.js';
import { CoordinatorServiceService as contract } from '../generated/dibs/v1/coordinator.js';
import { afterReceiving } from './after-receiving.js';
import type { Arrival } from './arrivals.js';
import type { Connection } from './connection.js';
import type { Door } from './door.js';

type Method = Parameters<ServerInterceptor>[0];
type Call = Parameters<ServerInterceptor>[1];
type Listener = Parameters<Call['start']>[0];

export interface DoorCallParts {
  readonly method: Method;
  readonly call: Call;
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly connection: Connection;
}

/** A client may cancel a call whose answer is under way at its deadline. HTTP/2 counts that too, without an event. */
const NEAR_DEADLINE_MS = 500;
/** Probes have no credentials. */
const OPEN_TO_ALL = '/grpc.health.v1.Health/';

/** One call at the door: nothing of its request is read before it is admitted. */
export class DoorCall extends ServerInterceptingCall {
  readonly #door: Door;
  readonly #parts: DoorCallParts;
  #arrival: Arrival | undefined;
  /** Gives back its place among the open calls. */
  #leave: (() => void) | undefined;
  #isAnswered = false;
  /** Answers that wait for room, and the bytes of those that wait for their reader. */
  readonly #held = new Set<() => void>();
  #unreadBytes = 0;

  constructor(door: Door, parts: DoorCallParts) {
    super(parts.call);
    this.#door = door;
    this.#parts = parts;
  }

  override start(listener: Listener): void {
    this.#parts.call.start({
      onReceiveMetadata: (metadata) => this.#come(metadata, listener),
      onReceiveMessage: (message) => {
        if (this.#parts.method.requestStream) this.#arrived();
        listener.onReceiveMessage(message);
      },
      onReceiveHalfClose: () => {
        this.#arrived();
        listener.onReceiveHalfClose();
      },
      onCancel: () => {
        // Reset before its request was there: work for nothing.
        if (this.#arrival !== undefined && this.#parts.stream.aborted && !this.#isAnswered) {
          this.#door.refused(this.#parts.connection);
        }
        this.#over();
        listener.onCancel();
      },
    });
  }

  /** The name of its address. */
  override getPeer(): string {
    return this.#parts.connection.peer;
  }

  override getAuthContext(): ReturnType<Call['getAuthContext']> {
    return { sslPeerCertificate: this.#parts.connection.certificate() };
  }

  /** Held back while the connection has too much that its client has not read. */
  override sendMessage(message: unknown, callback: () => void): void {
    const { connection } = this.#parts;
    const write = () => {
      this.#held.delete(write);
      this.#write(message, callback);
    };
    this.#held.add(write);
    this.#door.unsent.send(connection.unsent, write);
  }

  override sendStatus(status: Parameters<Call['sendStatus']>[0]): void {
    this.#isAnswered = true;
    if (Number(this.getDeadline()) - Date.now() < NEAR_DEADLINE_MS) this.#parts.connection.cancelled();
    super.sendStatus(status);
  }

  #write(message: unknown, callback: () => void): void {
    const { connection, stream } = this.#parts;
    const { unsent } = this.#door;
    const before = stream.writableLength;
    let bytes = 0;
    super.sendMessage(message, () => {
      // If the call has ended, nothing is left to count.
      const unread = Math.min(bytes, this.#unreadBytes);
      this.#unreadBytes -= unread;
      unsent.read(connection.unsent, unread);
      callback();
    });
    bytes = stream.writableLength - before;
    this.#unreadBytes += bytes;
    unsent.wrote(connection.unsent, bytes);
  }

  #come(metadata: Metadata, listener: Listener): void {
    const { method, stream } = this.#parts;
    try {
      this.#admit(metadata);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    stream.on('data', (bytes: Buffer) => this.#received(bytes.byteLength));
    if (!method.requestStream) this.#begin();
    listener.onReceiveMetadata(metadata);
  }

  /** Throws the reason to refuse it. */
  #admit(metadata: Metadata): void {
    const { method, headers, rawHeaders, connection } = this.#parts;
    const { guard, compressedRequests, streams, probes, arrivals } = this.#door;
    const encoding = headers['grpc-encoding'];
    if (encoding !== undefined && encoding !== 'identity' && !compressedRequests) {
      throw new CoordinationError(
        'unimplemented',
        'grpc-encoding: only identity is accepted; send requests uncompressed, or set DIBS_COMPRESSED_REQUESTS=true',
      );
    }
    const isProbe = guard !== undefined && method.path.startsWith(OPEN_TO_ALL);
    let identity = '';
    if (guard !== undefined && !isProbe) {
      if (rawHeaders.filter((it) => it === 'authorization').length > 1) {
        throw new CoordinationError('unauthenticated', 'authorization: sent more than once; send one token');
      }
      const shown = { metadata, getAuthContext: () => this.getAuthContext() };
      identity = admit(guard, shown, method.path).identity;
      // Its calls count when they come. Opened and closed, it would cost as much without any.
      if (method.path === contract.session.path) guard.spend(identity);
    }
    if (isProbe && !connection.isAdmitted) this.#door.probed(connection);
    if (arrivals.isFull(connection.arrivals)) {
      const what = 'too many requests of this connection have not arrived completely';
      throw new CoordinationError('exhausted', what, FULL_MS);
    }
    const { peer } = connection;
    const shares = isProbe ? probes : streams;
    if (!shares.take(peer, identity)) {
      const what = isProbe
        ? 'too many open health checks of this address: each may have as many as are free'
        : 'too many open calls of this identity or address: each may have as many as are free';
      throw new CoordinationError('exhausted', what, FULL_MS);
    }
    this.#leave = () => shares.give(peer, identity);
    if (guard === undefined || identity !== '') connection.admitted();
  }

  #refuse(error: unknown): void {
    const { call, stream, connection, method } = this.#parts;
    this.#isAnswered = true;
    const told = { unexpected: () => {}, failed: this.#door.failed };
    const { code, details, metadata } = failedStatus(told, method.path, error);
    call.sendStatus({ code: code as Status, details, metadata });
    // What still comes of its request is not wanted.
    afterReceiving(() => {
      if (stream.writableFinished) reset(stream);
      else stream.once('finish', () => afterReceiving(() => reset(stream)));
    });
    this.#door.refused(connection);
  }

  #begin(): Arrival {
    const { connection, stream } = this.#parts;
    const arrival = this.#door.arrivals.begin(connection.arrivals, stream, () => {
      this.#arrived();
      this.#refuse(new CoordinationError('exhausted', 'request: it did not arrive completely in time'));
    });
    this.#arrival = arrival;
    return arrival;
  }

  #received(bytes: number): void {
    // Of a call with one request, the rest is unwanted.
    if (this.#arrival === undefined && !this.#parts.method.requestStream) return;
    this.#door.arrivals.received(this.#arrival ?? this.#begin(), bytes);
  }

  #arrived(): void {
    if (this.#arrival === undefined) return;
    this.#door.arrivals.end(this.#arrival);
    this.#arrival = undefined;
  }

  #over(): void {
    this.#arrived();
    const { stream, connection } = this.#parts;
    // grpc-js has ended it at its deadline, and its client probably cancels it at the same moment.
    if (!this.#isAnswered && !stream.aborted) connection.cancelled();
    for (const write of this.#held) this.#door.unsent.forget(connection.unsent, write);
    this.#held.clear();
    // Its stream may still hold them, but not for long.
    if (this.#unreadBytes > 0) this.#door.unsent.read(connection.unsent, this.#unreadBytes);
    this.#unreadBytes = 0;
    this.#leave?.();
    this.#leave = undefined;
  }
}

function reset(stream: ServerHttp2Stream): void {
  if (!stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
}
