import type { Socket } from 'node:net';
import type { Clock } from '../coordination/ports/clock.js';
import { AddressRates } from './address-rates.js';

/**
 * New connections of an address each second. The server's part of a TLS handshake takes some 0.3 ms. At once there may
 * be as many as the share of the address, or as this, because all clients behind one address return after a restart.
 */
const PER_SECOND = 100;
const BURST_MIN = 1_000;

/** What an address costs that opens connections and closes them again, because it holds none of its share. */
export class NewConnections {
  readonly #rates: AddressRates;

  /** One address has at most half of `connectionsMax`. */
  constructor(clock: Pick<Clock, 'nowMs'>, connectionsMax: number) {
    const burst = Math.max(BURST_MIN, Math.ceil(connectionsMax / 2));
    // It needs no other way in: each second it gets some.
    const bounds = { burst, perSecond: PER_SECOND, recovered: 1, connectionsPerSecond: 0 };
    this.#rates = new AddressRates(clock, bounds);
  }

  /** Counts one. False if its address, whose name is `peer`, has had too many. Unix sockets have none. */
  count(peer: string, { remoteAddress }: Pick<Socket, 'remoteAddress'>): boolean {
    return remoteAddress === undefined || this.#rates.count(peer);
  }

  /** Forgets addresses that have recovered. */
  sweep(): void {
    this.#rates.sweep();
  }
}
