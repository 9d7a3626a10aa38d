import type { Server, Socket } from 'node:net';
import { peerOf } from '../access/peer.js';
import { Shares } from '../access/shares.js';

/** Of all addresses. Fewer if the process may not open enough files. */
export const HTTP_CONNECTIONS_MAX = 1_000;
/** Connections beyond these, for probes, and how long each may take. Probes ask at once. */
const PROBES_MAX = 32;
const PROBE_MS_MAX = 1_000;

/**
 * The connections of the pages, shared by address. An address with too many still reaches the probes: its further
 * connections are short, and the newest replaces the oldest. So connections that say nothing do not keep a probe out.
 */
export class Connections {
  readonly #shares: Shares;
  /** By the name of the connection, from the oldest to the newest. */
  readonly #probes = new Map<string, Socket>();

  constructor(connectionsMax: number) {
    this.#shares = new Shares(connectionsMax);
  }

  /** Call it before the server listens. */
  keep(server: Server): void {
    server.prependListener('connection', (socket: Socket) => this.#comes(socket));
  }

  /** Whether only probes are answered on this connection. */
  isForProbes(socket: Socket): boolean {
    return this.#probes.has(nameOf(socket));
  }

  #comes(socket: Socket): void {
    const peer = peerOf(socket.remoteAddress);
    if (this.#shares.take(peer)) {
      socket.once('close', () => this.#shares.give(peer));
      return;
    }
    for (const [oldest, probe] of this.#probes) {
      if (this.#probes.size < PROBES_MAX) break;
      this.#probes.delete(oldest);
      probe.destroy();
    }
    const name = nameOf(socket);
    this.#probes.set(name, socket);
    const timer = setTimeout(() => socket.destroy(), PROBE_MS_MAX).unref();
    socket.once('close', () => {
      clearTimeout(timer);
      if (this.#probes.get(name) === socket) this.#probes.delete(name);
    });
  }
}

/** The same for a connection and for the TLS on it. */
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
