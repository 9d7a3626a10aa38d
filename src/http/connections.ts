import type { Server, Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import { AddressRates } from '../access/address-rates.js';
import { HeldOff, takeListeners } from '../access/held-off.js';
import { NewConnections } from '../access/new-connections.js';
import { peerOf } from '../access/peer.js';
import { Shares } from '../access/shares.js';
import type { Clock } from '../coordination/ports/clock.js';

/** Of all addresses. Fewer if the process may not open enough files. */
export const HTTP_CONNECTIONS_MAX = 1_000;
/** Connections beyond these, for probes, and how long each may take. Probes ask at once. */
const PROBES_MAX = 32;
const PROBE_MS_MAX = 1_000;
/**
 * A request costs some 0.01 ms, and a scrape more. A console takes ten at its start, a node's probes of a replica two
 * each second. After too many, an address still gets a few connections, because its probes come on new ones.
 */
export const REQUESTS = { burst: 1_000, perSecond: 500, recovered: 500, connectionsPerSecond: 5 };
/** Requests of a connection that have no answer yet. Our callers wait for each answer before they ask again. */
const UNANSWERED_MAX = 8;
/** Refused connections that are kept for a while, and how often one of them may come. */
const HELD_OFF_MAX = 32;
const RELEASE_EVERY_MS = 100;
const SWEEP_EVERY_MS = 1_000;

/**
 * Why a connection is refused. `share`: its address has as many as it may have. `connections`: it opened too many one
 * after the other. `requests`: its address, or the connection itself, sent too many requests.
 */
export type Refused = 'share' | 'connections' | 'requests';

export interface ConnectionsParts {
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly connectionsMax: number;
  /** Receives each connection that is refused or cut off, with the name of its address. */
  connectionRefused(peer: string, why: Refused): void;
}

interface Open {
  /** Below TLS, if there is any. */
  readonly socket: Socket;
  readonly peer: string;
  readonly isForProbes: boolean;
  /** Came while its address had no requests left: one probe is answered. */
  hasFreeProbe: boolean;
  unanswered: number;
  isCut: boolean;
}

/**
 * The connections of the pages, shared by address. An address with too many still reaches the probes: its further
 * connections are short, and the newest replaces the oldest. So connections that say nothing do not keep a probe out.
 * Requests are counted by address too.
 */
export class Connections {
  readonly #shares: Shares;
  readonly #rates: AddressRates;
  readonly #new: NewConnections;
  readonly #heldOff = new HeldOff(HELD_OFF_MAX);
  /** By the name of the connection, from the oldest to the newest. */
  readonly #open = new Map<string, Open>();
  readonly #probes = new Map<string, Socket>();
  /** Lets those come that may come now. */
  #release = () => {};
  #releasing: NodeJS.Timeout | undefined;
  /** By the socket of its requests, because a closed one has no name any more. */
  readonly #known = new WeakMap<Socket, Open>();

  constructor(private readonly parts: ConnectionsParts) {
    this.#shares = new Shares(parts.connectionsMax);
    this.#rates = new AddressRates(parts.clock, REQUESTS);
    this.#new = new NewConnections(parts.clock, parts.connectionsMax);
  }

  /** Call it before the server listens. */
  keep(server: Server): void {
    const listeners = takeListeners<(socket: Socket) => void>(server, 'connection');
    const begin = (socket: Socket) => {
      this.#comes(socket);
      for (const listener of listeners) listener.call(server, socket);
    };
    server.on('connection', (socket: Socket) => {
      const why = this.#whyHeldOff(socket);
      if (why === undefined) begin(socket);
      else this.#refuse(socket, why);
    });
    this.#release = () => {
      for (const socket of this.#heldOff.release((it) => this.#whyHeldOff(it) === undefined)) {
        begin(socket);
        // TLS reads what has arrived meanwhile by itself.
        if (!(server instanceof TlsServer)) socket.resume();
      }
    };
    const sweeping = setInterval(() => {
      this.#rates.sweep();
      this.#new.sweep();
    }, SWEEP_EVERY_MS).unref();
    server.once('close', () => clearInterval(sweeping));
  }

  /** Whether only probes are answered on this connection. */
  isForProbes(socket: Socket): boolean {
    return this.#openOf(socket)?.isForProbes === true;
  }

  /** Counts a request. False if it must not be answered: its connection has been closed. */
  mayAsk(socket: Socket, isProbe: boolean): boolean {
    const open = this.#openOf(socket);
    if (open === undefined) {
      socket.destroy();
      return false;
    }
    open.unanswered += 1;
    const isFree = isProbe && open.hasFreeProbe;
    open.hasFreeProbe = false;
    const wasUsedUp = this.#rates.isUsedUp(open.peer);
    const isCounted = isFree || this.#rates.count(open.peer);
    if (!isCounted || open.unanswered > UNANSWERED_MAX) {
      this.#cut(open, socket);
      dropReceived(socket);
    }
    if (!isCounted && !wasUsedUp) this.#cutIdle(open.peer);
    return !open.isCut;
  }

  /** A request that was counted has its answer. */
  answered(socket: Socket): void {
    const open = this.#openOf(socket);
    if (open !== undefined) open.unanswered -= 1;
  }

  #openOf(socket: Socket): Open | undefined {
    const open = this.#known.get(socket) ?? this.#open.get(nameOf(socket));
    if (open !== undefined) this.#known.set(socket, open);
    return open;
  }

  /** Connections of the address that have not asked yet: they may have sent as much. */
  #cutIdle(peer: string): void {
    for (const open of this.#open.values()) {
      if (open.peer !== peer || open.unanswered > 0) continue;
      // Otherwise, what it sent while it was held off would still be handled.
      open.socket.pause();
      this.#cut(open, open.socket);
    }
  }

  #cut(open: Open, socket: Socket): void {
    if (open.isCut) return;
    open.isCut = true;
    this.parts.connectionRefused(open.peer, 'requests');
    socket.destroy();
  }

  #whyHeldOff(socket: Socket): Refused | undefined {
    const peer = peerOf(socket.remoteAddress);
    if (!this.#rates.mayConnect(peer)) return 'requests';
    return this.#new.count(peer, socket) ? undefined : 'connections';
  }

  #refuse(socket: Socket, why: Refused): void {
    this.parts.connectionRefused(peerOf(socket.remoteAddress), why);
    this.#heldOff.hold(socket);
    this.#planRelease();
  }

  /** Only while connections are held off: a replica without them must not wake up for it. */
  #planRelease(): void {
    if (this.#releasing !== undefined || this.#heldOff.size === 0) return;
    this.#releasing = setTimeout(() => {
      this.#releasing = undefined;
      this.#release();
      this.#planRelease();
    }, RELEASE_EVERY_MS).unref();
  }

  #comes(socket: Socket): void {
    const peer = peerOf(socket.remoteAddress);
    const name = nameOf(socket);
    const hasFreeProbe = this.#rates.isUsedUp(peer);
    const isForProbes = hasFreeProbe || !this.#shares.take(peer);
    const open = { socket, peer, isForProbes, hasFreeProbe, unanswered: 0, isCut: false };
    this.#open.set(name, open);
    socket.once('close', () => {
      if (!isForProbes) this.#shares.give(peer);
      if (this.#open.get(name) === open) this.#open.delete(name);
    });
    if (isForProbes) this.#reserve(name, socket);
  }

  #reserve(name: string, socket: Socket): void {
    for (const [oldest, probe] of this.#probes) {
      if (this.#probes.size < PROBES_MAX) break;
      this.#probes.delete(oldest);
      probe.destroy();
    }
    this.#probes.set(name, socket);
    const timer = setTimeout(() => socket.destroy(), PROBE_MS_MAX).unref();
    socket.once('close', () => {
      clearTimeout(timer);
      if (this.#probes.get(name) === socket) this.#probes.delete(name);
    });
  }
}

/**
 * Node handles all requests of a piece of 64 KiB at once, also after their connection was closed. That would cost 20 ms.
 * With this, its parser fails at the next request. If a later Node hides the parser, they are handled, and all count.
 */
function dropReceived(socket: Socket): void {
  const { parser } = socket as { parser?: { onIncoming: (() => number) | null } | null };
  if (parser) parser.onIncoming = () => -1;
}

/** The same for a connection and for the TLS on it. */
function nameOf({ localAddress, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${remoteAddress} ${remotePort}`;
}
