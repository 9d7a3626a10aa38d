import type { Clock } from './clock.js';
import type * as wire from './generated/dibs/v1/coordinator.js';
import type { CallTerms, Transport } from './transport.js';

/** A session, as far as the pool has to do with it. */
export interface PooledSession extends Transport {
  /** The replica's address; undefined while the session is not open. */
  readonly peer: string | undefined;
  /** Resolves when it is open, and rejects when it cannot be had. */
  ready(): Promise<void>;
  open(): void;
  /** Ends the stream once its calls have ended. The next one goes to the next address, as gRPC takes turns. */
  leave(): void;
}

/** What a session tells the pool. */
export interface SessionEvents {
  opened(): void;
  broken(): void;
}

export interface SessionPoolParts {
  readonly clock: Clock;
  create(events: SessionEvents): PooledSession;
  /** How many addresses the target has now. */
  countAddresses(): Promise<number>;
}

interface Member {
  readonly session: PooledSession;
  /** It is open to a replica of its own, so that calls may go over it. */
  ready: boolean;
  /** Until it looks again for a replica of its own. */
  lookAgainMs: number;
}

/** Beyond that, one process has no need of more replicas. */
const SESSIONS_MAX = 8;
/** Until a session that broke is opened again. */
const REOPEN_MS = 1_000;
/**
 * Until a session that met the replica of another one looks again. It doubles with each try: an address may still be
 * connecting, and on a loaded machine that takes a while.
 */
const LOOK_AGAIN_MIN_MS = 10;
const LOOK_AGAIN_MAX_MS = 30_000;

/**
 * A session with each address that the target has. All calls of a key go over the same one, so that callers of
 * a key meet on one replica. The first serves where another is not open; it is opened by the first call.
 */
export class SessionPool implements Transport {
  readonly #first: PooledSession;
  /** All but the first. */
  readonly #members: Member[] = [];
  #counting = false;
  #closed = false;

  constructor(private readonly parts: SessionPoolParts) {
    this.#first = parts.create({ opened: () => void this.#grow(), broken: () => {} });
  }

  readonly getOrLock: Transport['getOrLock'] = (request, terms) =>
    this.#of(request).getOrLock(request, terms);
  readonly publish: Transport['publish'] = (request, terms) => this.#of(request).publish(request, terms);
  readonly release: Transport['release'] = (request, terms) => this.#of(request).release(request, terms);
  readonly extend: Transport['extend'] = (request, terms) => this.#of(request).extend(request, terms);
  readonly explain: Transport['explain'] = (request, terms) => this.#of(request).explain(request, terms);
  readonly invalidate: Transport['invalidate'] = (request, terms) => this.#first.invalidate(request, terms);

  getOrLockMany(
    request: wire.GetOrLockManyRequest,
    terms: CallTerms,
  ): AsyncIterable<wire.GetOrLockManyResponse> {
    return this.#first.getOrLockMany(request, terms);
  }

  ready(): Promise<void> {
    return this.#first.ready();
  }

  close(): void {
    this.#closed = true;
    this.#first.close();
    for (const { session } of this.#members) session.close();
  }

  #of({ key }: { readonly key: string }): PooledSession {
    if (this.#members.length === 0) return this.#first;
    const at = hashOf(key) % (this.#members.length + 1);
    const member = this.#members[at - 1];
    return member?.ready === true ? member.session : this.#first;
  }

  async #grow(): Promise<void> {
    if (this.#counting) return;
    this.#counting = true;
    const count = await this.parts.countAddresses();
    this.#counting = false;
    while (!this.#closed && this.#members.length + 1 < Math.min(count, SESSIONS_MAX)) {
      const member: Member = {
        session: this.parts.create({
          opened: () => this.#opened(member),
          broken: () => {
            member.ready = false;
            this.#reopen(member, REOPEN_MS);
          },
        }),
        ready: false,
        lookAgainMs: LOOK_AGAIN_MIN_MS,
      };
      this.#members.push(member);
      member.session.open();
    }
  }

  #opened(member: Member): void {
    const { peer } = member.session;
    const others = this.#members.filter((other) => other !== member && other.ready);
    const isTaken = [this.#first, ...others.map(({ session }) => session)].some((it) => it.peer === peer);
    if (!isTaken) {
      member.ready = true;
      member.lookAgainMs = LOOK_AGAIN_MIN_MS;
      return;
    }
    // Nothing went over it yet, so that nothing is lost with it. The next one goes to the next address.
    member.session.leave();
    this.#reopen(member, member.lookAgainMs);
    member.lookAgainMs = Math.min(2 * member.lookAgainMs, LOOK_AGAIN_MAX_MS);
  }

  #reopen(member: Member, afterMs: number): void {
    if (this.#closed) return;
    this.parts.clock.behind(afterMs, () => {
      if (!this.#closed && !member.ready) member.session.open();
    });
  }
}

/** FNV-1a, over UTF-16 code units. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  return hash >>> 0;
}
