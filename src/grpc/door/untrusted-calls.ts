import type { ServerHttp2Stream } from 'node:http2';
import type { Connection } from './connection.js';

/** Calls that begin in one turn of the event loop. To refuse one takes 0.1 ms, and twice that before it was compiled. */
const CALLS_PER_TURN = 32;
/** Of one connection that wait, before those are looked for that were reset meanwhile: more cannot be open. */
const WAITING_MAX = 100;

/** A call that has come and not begun. */
export interface UntrustedCall {
  readonly stream: Pick<ServerHttp2Stream, 'closed' | 'destroyed'>;
  begin(): void;
}

/**
 * Calls of connections of which no caller was admitted yet, or one was refused. They begin after all that has arrived in
 * this turn was received, a few in each turn, and the connections take turns. So others do not wait while many are refused
 * at once, and what its client resets at once never begins.
 */
export class UntrustedCalls {
  readonly #waiting = new Map<Connection, UntrustedCall[]>();
  #isPlanned = false;

  /** `reset` is called for each call that its client has reset before it began. */
  constructor(
    private readonly reset: (connection: Connection) => void,
    private readonly atEndOfTurn: (turn: () => void) => void = setImmediate,
  ) {}

  /** Whether a call of this connection has to wait: one must not overtake those before it. */
  holds(connection: Connection): boolean {
    return !connection.isTrusted || this.#waiting.has(connection);
  }

  add(connection: Connection, call: UntrustedCall): void {
    const calls = this.#waiting.get(connection);
    if (calls === undefined) this.#waiting.set(connection, [call]);
    else {
      if (calls.length >= WAITING_MAX) this.#removeReset(connection, calls);
      calls.push(call);
    }
    this.#plan();
  }

  #plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    this.atEndOfTurn(() => this.#turn());
  }

  #turn(): void {
    this.#isPlanned = false;
    let left = CALLS_PER_TURN;
    // One call of each. What has more comes after the others.
    for (const [connection, calls] of this.#waiting) {
      if (left === 0) break;
      this.#waiting.delete(connection);
      this.#removeReset(connection, calls);
      const [next] = calls.splice(0, 1);
      if (next === undefined || connection.isCut) continue;
      if (calls.length > 0) this.#waiting.set(connection, calls);
      left -= 1;
      next.begin();
    }
    if (this.#waiting.size > 0) this.#plan();
  }

  #removeReset(connection: Connection, calls: UntrustedCall[]): void {
    const open = calls.filter(({ stream }) => !stream.closed && !stream.destroyed);
    for (let count = calls.length - open.length; count > 0 && !connection.isCut; count -= 1) {
      this.reset(connection);
    }
    calls.splice(0, calls.length, ...(connection.isCut ? [] : open));
  }
}
