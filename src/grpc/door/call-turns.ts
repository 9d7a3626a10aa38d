import type { ServerHttp2Stream } from 'node:http2';
import { onceATurn } from '../once-a-turn.js';
import type { Connection } from './connection.js';

/** How many calls begin in one turn of the event loop: some 25 ms of it, because a call takes 0.1 ms to begin. */
const WORK_PER_TURN = 256;
/** Refusing a call takes up to four times as long before its code is optimized. It is not urgent. */
const UNTRUSTED_WORK = 32;
/** How many calls of an untrusted connection wait before those that were reset are dropped. More cannot be open. */
const UNTRUSTED_WAITING_MAX = 100;

/** A call that has arrived and has not begun. */
export interface ComingCall {
  readonly stream: Pick<ServerHttp2Stream, 'closed' | 'destroyed'>;
  begin(): void;
}

/**
 * Divides the beginnings of calls into turns of the event loop, in which connections take turns. Then a
 * connection with many calls does not hold up the others.
 *
 * Calls of an untrusted connection begin only when everything that arrived in this turn was received, and only a few in
 * each turn. So a call that its client resets at once never begins, and refusing many takes its time.
 */
export class CallTurns {
  readonly #waiting = new Map<Connection, ComingCall[]>();
  readonly #plan: () => void;
  #left = WORK_PER_TURN;

  /** `reset` is called for each call that the client of an untrusted connection has reset before it began. */
  constructor(
    private readonly reset: (connection: Connection) => void,
    atEndOfTurn?: (turn: () => void) => void,
  ) {
    this.#plan = onceATurn(() => this.#turn(), atEndOfTurn);
  }

  /** Takes the place of a call that begins now. False: it has to wait, with {@link add}. */
  take(connection: Connection): boolean {
    // It must not overtake those before it.
    if (!connection.isTrusted || this.#waiting.has(connection) || this.#left <= 0) return false;
    this.#left -= 1;
    this.#plan();
    return true;
  }

  add(connection: Connection, call: ComingCall): void {
    const calls = this.#waiting.get(connection) ?? [];
    this.#waiting.set(connection, calls);
    if (!connection.isTrusted && calls.length >= UNTRUSTED_WAITING_MAX) this.#dropReset(connection, calls);
    calls.push(call);
    this.#plan();
  }

  #turn(): void {
    this.#left = WORK_PER_TURN;
    // One call of each. What has more comes after the others.
    for (const [connection, calls] of this.#waiting) {
      if (this.#left <= 0) break;
      this.#waiting.delete(connection);
      const next = this.#next(connection, calls);
      if (next === undefined || connection.isCut) continue;
      if (calls.length > 0) this.#waiting.set(connection, calls);
      this.#left -= connection.isTrusted ? 1 : UNTRUSTED_WORK;
      next.begin();
    }
    if (this.#waiting.size > 0 || this.#left < WORK_PER_TURN) this.#plan();
  }

  #next(connection: Connection, calls: ComingCall[]): ComingCall | undefined {
    for (let call = calls.shift(); call !== undefined; call = calls.shift()) {
      if (!isReset(call)) return call;
      this.#count(connection);
    }
    return undefined;
  }

  #dropReset(connection: Connection, calls: ComingCall[]): void {
    const open = calls.filter((call) => !isReset(call));
    for (let count = open.length; count < calls.length; count += 1) this.#count(connection);
    calls.splice(0, calls.length, ...open);
  }

  /** A trusted client may cancel what it asked for. */
  #count(connection: Connection): void {
    if (!connection.isTrusted && !connection.isCut) this.reset(connection);
  }
}

function isReset({ stream }: ComingCall): boolean {
  return stream.closed || stream.destroyed;
}
