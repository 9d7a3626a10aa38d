import { Shares } from '../../access/shares.js';
import { FULL_MS } from '../../coordination/waiting/retry-after.js';
import { CoordinationError } from '../../coordination/words/errors.js';
import type { Session } from './session.js';

/** Sessions of one replica, broken ones included. */
const SESSIONS_MAX = 10_000;

/** The share of the sessions that each identity and each address has. */
export class SessionShares {
  readonly #shares = new Shares(SESSIONS_MAX);
  readonly #peersOf = new WeakMap<Session, readonly string[]>();

  /** Counts a new session, and returns it. `peer` is the name of its address. Throws `exhausted`. */
  count(session: Session, peer: string): Session {
    const peers = [peer, session.identity];
    if (!this.#shares.take(...peers)) {
      const what = `too many sessions of this identity or address: each may have as many as are free of ${SESSIONS_MAX}`;
      throw new CoordinationError('exhausted', what, FULL_MS);
    }
    this.#peersOf.set(session, peers);
    return session;
  }

  /** The session has ended. */
  give(session: Session): void {
    const peers = this.#peersOf.get(session);
    if (peers === undefined) return;
    this.#peersOf.delete(session);
    this.#shares.give(...peers);
  }
}
