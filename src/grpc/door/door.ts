import type { Http2Server, IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type TLSSocket, Server as TlsServer } from 'node:tls';
import type { ServerInterceptor } from '@grpc/grpc-js';
import { AddressRates } from '../../access/address-rates.js';
import type { Guard } from '../../access/guard.js';
import { HeldOff, takeListeners } from '../../access/held-off.js';
import { NewConnections } from '../../access/new-connections.js';
import { peerOf } from '../../access/peer.js';
import { Shares } from '../../access/shares.js';
import type { Clock } from '../../coordination/ports/clock.js';
import type { Edge } from '../answer.js';
import { Arrivals } from './arrivals.js';
import { CallTurns } from './call-turns.js';
import { Connection } from './connection.js';
import { Deaf } from './deaf.js';
import { DoorCall } from './door-call.js';
import { passOnFewMessages } from './few-messages.js';
import { handshakeFault } from './handshake.js';
import { InPieces, PieceTurns } from './in-pieces.js';
import { shortenDeadline } from './long-deadline.js';
import { RunningClock, SWEEP_EVERY_MS } from './running-clock.js';
import { Unsent } from './unsent.js';

/** What peers may hold together. Of each, a peer may hold as much as is still free. */
export interface DoorBounds {
  readonly connectionsMax: number;
  /** Open calls and sessions of all connections. */
  readonly streamsMax: number;
  /** The same of one connection, after its first admitted call. */
  readonly streamsPerConnectionMax: number;
  /** Bytes of requests that have not arrived completely. */
  readonly arrivingBytesMax: number;
  /** Bytes of answers that clients have not read. */
  readonly unsentBytesMax: number;
}

export interface DoorParts {
  readonly clock: Pick<Clock, 'nowMs'>;
  /** Absent without identities: every caller is admitted. */
  readonly guard: Guard | undefined;
  readonly bounds: DoorBounds;
  /** Whether requests may be compressed. */
  readonly compressedRequests: boolean;
  /** Receives each error that a caller gets at the door, as {@link Edge.failed} does behind it. */
  readonly failed: Edge['failed'];
  /** Receives each connection that is refused or cut off, with the name of its address. */
  connectionRefused(peer: string, why: Refused): void;
  /** Receives each client whose TLS handshake fails, and why. */
  readonly handshakeFailed?: ((peer: string, why: string) => void) | undefined;
}

/**
 * Why a connection is refused. `share`: its address has as many as it may have. `connections`: it opened too many one
 * after the other. `calls`: too many calls of its address were refused.
 */
export type Refused = 'share' | 'connections' | 'calls';

/** Open calls of a connection before one of them is admitted. Further ones wait in the client. */
export const STREAMS_BEFORE_ADMISSION = 100;
/**
 * Refused calls of an address. One costs about 0.1 ms. A new connection may cost as much as one piece: some 75 streams.
 */
export const REFUSED_CALLS = { burst: 300, perSecond: 200, recovered: 150, connectionsPerSecond: 5 };
const HELD_OFF_MAX = 100;

/** A stream and its headers, from its event to its interceptor. */
interface Coming {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, also of headers that Node keeps only once. */
  readonly rawHeaders: readonly string[];
  readonly connection: Connection;
}

type StreamEvent = [
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  rawHeaders: string[],
];

/** Everything that comes in passes here first: connections, then calls by their metadata, then the bytes of requests. */
export class Door {
  readonly arrivals: Arrivals;
  readonly unsent: Unsent;
  readonly streams: Shares;
  /** Open calls that need no credentials: at most one watch of each connection is of use. */
  readonly probes: Shares;
  readonly refusals: AddressRates;
  readonly guard: Guard | undefined;
  readonly compressedRequests: boolean;
  readonly failed: Edge['failed'];
  readonly #connections = new Map<ServerHttp2Session, Connection>();
  readonly #sockets: Shares;
  readonly #newConnections: NewConnections;
  readonly #pieceTurns = new PieceTurns();
  readonly #callTurns = new CallTurns((connection) => this.refused(connection));
  readonly #deaf: Deaf;
  readonly #heldOff = new HeldOff(HELD_OFF_MAX);
  readonly #sweep: NodeJS.Timeout;
  /** The socket whose HTTP/2 begins now, and the stream whose call begins now. */
  #entering: Socket | undefined;
  #coming: Coming | undefined;

  constructor(private readonly parts: DoorParts) {
    const { clock, bounds } = parts;
    this.guard = parts.guard;
    this.compressedRequests = parts.compressedRequests;
    this.failed = parts.failed;
    const running = new RunningClock(clock);
    this.arrivals = new Arrivals(running, bounds.arrivingBytesMax);
    this.unsent = new Unsent(running, bounds.unsentBytesMax);
    this.streams = new Shares(bounds.streamsMax);
    this.probes = new Shares(bounds.connectionsMax);
    this.refusals = new AddressRates(clock, REFUSED_CALLS);
    this.#deaf = new Deaf(running);
    this.#sockets = new Shares(bounds.connectionsMax);
    this.#newConnections = new NewConnections(clock, bounds.connectionsMax);
    this.#sweep = setInterval(() => {
      running.swept();
      this.arrivals.sweep();
      this.refusals.sweep();
      this.#newConnections.sweep();
      this.unsent.sweep();
      this.#deaf.sweep();
    }, SWEEP_EVERY_MS).unref();
  }

  /** For each call, called by grpc-js in the event that {@link keep} sees first. */
  readonly interceptor: ServerInterceptor = (method, call) => {
    const coming = this.#coming as Coming;
    this.#coming = undefined;
    return new DoorCall(this, { method, call, ...coming });
  };

  /** Keeps the door of this server. Call it as soon as it listens. */
  keep(server: Http2Server): void {
    // The server's own listeners begin connections and calls. What is refused must not reach them.
    const connect = takeListeners<(socket: Socket) => void>(server, 'connection');
    // A connection that the system could not accept. grpc-js has no listener for it, and it would end the process.
    server.on('error', () => {});
    const isTls = server instanceof TlsServer;
    server.on('connection', (socket: Socket) => {
      if (!this.#mayCome(socket)) return;
      if (isTls) for (const listener of connect) listener.call(server, socket);
      else this.#enter(socket, server, connect);
    });
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      const why = handshakeFault(error, socket);
      if (why !== undefined) this.parts.handshakeFailed?.(peerOf(addressBelow(socket)), why);
    });
    const secure = takeListeners<(socket: Socket) => void>(server, 'secureConnection');
    server.on('secureConnection', (socket: Socket) => this.#enter(socket, server, secure));
    server.prependListener('session', (session) => this.#begin(session));
    const begin = takeListeners<(...event: StreamEvent) => void>(server, 'stream');
    server.on('stream', (...event: StreamEvent) => {
      this.#come(event, () => {
        for (const listener of begin) listener.call(server, ...event);
      });
    });
  }

  /**
   * Counts a refused call. An address with too many loses the connection of this one, and all of its connections
   * without an admitted caller, because these may have sent as much.
   */
  refused(connection: Connection): void {
    connection.refused();
    this.#count(connection);
  }

  /** Counts a call that needs no credentials, like a refused one: a known caller begins with one at most. */
  probed(connection: Connection): void {
    this.#count(connection);
  }

  #count(connection: Connection): void {
    const { peer } = connection;
    if (this.refusals.count(peer) || connection.isCut) return;
    this.#cut(connection);
    for (const other of this.#connections.values()) {
      if (other.peer === peer && !other.isAdmitted && !other.isCut) this.#cut(other);
    }
  }

  /** Ends all connections. */
  close(): void {
    clearInterval(this.#sweep);
    for (const { session } of this.#connections.values()) session.destroy();
  }

  /** Begins HTTP/2 on a socket: its listener emits the event of the session before it returns. */
  #enter(socket: Socket, server: Http2Server, listeners: readonly ((socket: Socket) => void)[]): void {
    const isInPieces = this.refusals.isSuspect(peerOf(socket.remoteAddress));
    const read = isInPieces ? (new InPieces(socket, this.#pieceTurns) as Duplex as Socket) : socket;
    this.#entering = socket;
    for (const listener of listeners) listener.call(server, read);
    this.#entering = undefined;
  }

  #mayCome(socket: Socket): boolean {
    const peer = peerOf(socket.remoteAddress);
    const why = this.#whyHeldOff(peer, socket);
    if (why !== undefined) this.parts.connectionRefused(peer, why);
    if (!this.#sockets.take(peer)) {
      if (why === undefined) this.parts.connectionRefused(peer, 'share');
      socket.destroy();
      return false;
    }
    socket.once('close', () => this.#sockets.give(peer));
    if (why !== undefined) this.#heldOff.hold(socket);
    return why === undefined;
  }

  #whyHeldOff(peer: string, socket: Socket): Refused | undefined {
    if (!this.#newConnections.count(peer, socket)) return 'connections';
    return this.refusals.mayConnect(peer) ? undefined : 'calls';
  }

  #cut(connection: Connection): void {
    this.parts.connectionRefused(connection.peer, 'calls');
    connection.cut();
  }

  /** A call has come: it begins now, later, or never. */
  #come([stream, headers, , rawHeaders]: StreamEvent, begin: () => void): void {
    const connection = stream.session && this.#connections.get(stream.session as ServerHttp2Session);
    if (connection?.isCut === false) connection.opened(stream);
    if (connection === undefined || connection.isCut) {
      // Its connection has ended, or ends in a moment.
      ignoreErrorsOf(stream);
      return;
    }
    passOnFewMessages(stream);
    const call = {
      stream,
      begin: () => {
        shortenDeadline(headers);
        this.#coming = { stream, headers, rawHeaders, connection };
        // A call without a message that had to wait has ended before grpc-js listens.
        const hasEnded = stream.readableEnded;
        begin();
        if (hasEnded) stream.emit('end');
        // No interceptor was asked: there is no such method, or it is no call of gRPC. A known client may be newer.
        if (this.#coming !== undefined && !connection.isAdmitted) this.refused(connection);
        this.#coming = undefined;
      },
    };
    if (!this.#callTurns.take(connection)) {
      ignoreErrorsOf(stream);
      this.#callTurns.add(connection, call);
    } else if (stream.closed || stream.destroyed) {
      // Reset before it was seen: work for nothing.
      this.refused(connection);
    } else call.begin();
  }

  #begin(session: ServerHttp2Session): void {
    const { clock, bounds } = this.parts;
    const socket = this.#entering as Socket;
    const connection = new Connection(session, socket, bounds.streamsPerConnectionMax, () => clock.nowMs());
    this.#connections.set(session, connection);
    this.#deaf.add(connection);
    session.once('close', () => {
      this.#connections.delete(session);
      this.#deaf.remove(connection);
    });
  }
}

/** Without a listener, an error before its call has begun would end the process. */
function ignoreErrorsOf(stream: ServerHttp2Stream): void {
  stream.on('error', () => {});
}

/** A TLS socket that has ended knows no address. The socket below still does, unless a later Node hides it. */
function addressBelow(socket: TLSSocket): string {
  const { _parent } = socket as { _parent?: Socket | null };
  return (_parent ?? socket).remoteAddress ?? 'unknown';
}
