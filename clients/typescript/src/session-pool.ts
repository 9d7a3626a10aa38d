import { answersAsTheyCome } from './answers-as-they-come.js';
import type { Clock } from './clock.js';
import { DibsError, withCause } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';
import { hashOf, rankOf } from './key-share.js';
import type { SignalLike } from './light-signal.js';
import { SessionRefused } from './no-session.js';
import type { AskingTransport, CallTerms, Transport } from './transport.js';
import { releaseUnwanted } from './unwanted-leases.js';

/** The part of a session that the pool uses. */
export interface PooledSession extends AskingTransport {
  /** The replica's address; undefined while the session is not open. */
  readonly peer: string | undefined;
  /** Resolves when it is open, and rejects if it cannot be opened. */
  ready(): Promise<void>;
  open(): void;
  /** Ends the stream once its calls have ended. The next one goes to the next address, because gRPC takes turns. */
  leave(): void;
}

/** What a session reports to the pool. */
export interface SessionEvents {
  opened(): void;
  broken(): void;
}

export interface SessionPoolParts {
  readonly clock: Clock;
  /** 32 bits. Pools with the same salt give a key to the same replica. */
  readonly salt: number;
  create(events: SessionEvents): PooledSession;
  /** How many addresses the target has now. */
  countAddresses(): Promise<number>;
}

interface Member {
  readonly session: PooledSession;
  /** It is open to its own replica, so calls may use it. */
  ready: boolean;
  /** Determines which keys it has. */
  seed: number;
  /** The pause before it looks again for its own replica. */
  lookAgainMs: number;
}

/** One process does not need more replicas. */
const SESSIONS_MAX = 8;
/** How long until a broken session is opened again. */
const REOPEN_MS = 1_000;
/**
 * How long until a session that met the replica of another one tries again. It doubles with each try, because an
 * address may still be connecting, which takes a while on a loaded machine.
 */
const LOOK_AGAIN_MIN_MS = 10;
const LOOK_AGAIN_MAX_MS = 30_000;

/**
 * A session with each address of the target. All calls of a key use the same one, so callers of a key meet on one
 * replica, and a session that comes or goes moves no keys of the others. The first one serves while no other is open.
 * The first call opens it.
 */
export class SessionPool implements AskingTransport {
  readonly #first: Member;
  /** All but the first. */
  readonly #others: Member[] = [];
  #counting = false;
  #closed = false;

  constructor(private readonly parts: SessionPoolParts) {
    this.#first = this.#memberOf(() => this.#openedFirst());
  }

  readonly getOrLock: Transport['getOrLock'] = (request, terms) =>
    this.#of(request).getOrLock(request, terms);
  readonly askGetOrLock: AskingTransport['askGetOrLock'] = (request, ...to) =>
    this.#of(request).askGetOrLock(request, ...to);
  readonly publish: Transport['publish'] = (request, terms) => this.#of(request).publish(request, terms);
  readonly release: Transport['release'] = (request, terms) => this.#of(request).release(request, terms);
  readonly extend: Transport['extend'] = (request, terms) => this.#of(request).extend(request, terms);
  readonly explain: Transport['explain'] = (request, terms) => this.#of(request).explain(request, terms);
  readonly invalidate: Transport['invalidate'] = (request, terms) =>
    this.#first.session.invalidate(request, terms);

  getOrLockMany(
    request: wire.GetOrLockManyRequest,
    terms: CallTerms,
  ): AsyncIterable<wire.GetOrLockManyResponse> {
    const groups = this.#groupsOf(request.keys);
    const [only = this.#first.session] = groups.keys();
    if (groups.size < 2) return only.getOrLockMany(request, terms);
    type More = (answer: wire.GetOrLockManyResponse) => void;
    const ask = async (more: More, signal: SignalLike) => {
      const askOne = async ([session, keys]: [PooledSession, string[]]) => {
        const left = new Set(keys);
        const askFor = async (asked: string[]) => {
          const answers = session.getOrLockMany({ ...request, keys: asked }, { ...terms, signal });
          for await (const answer of answers) {
            left.delete(answer.key);
            more(answer);
          }
        };
        await askFor(keys).catch((error) => {
          // The next session sends the current token.
          if (isRefused(error) && left.size > 0) return askFor([...left]);
          throw error;
        });
      };
      // Some keys may already have their answers. So the others are retried, and the whole call is not sent another
      // way.
      await Promise.all([...groups].map(askOne)).catch((error) => Promise.reject(withoutCause(error)));
      return undefined;
    };
    return answersAsTheyCome(ask, terms.signal, releaseUnwanted(this, request.namespace));
  }

  groupsOf(keys: readonly string[]): readonly (readonly string[])[] {
    return [...this.#groupsOf(keys).values()];
  }

  ready(): Promise<void> {
    return this.#first.session.ready();
  }

  close(): void {
    this.#closed = true;
    for (const { session } of [this.#first, ...this.#others]) session.close();
  }

  #groupsOf(keys: readonly string[]): Map<PooledSession, string[]> {
    const groups = new Map<PooledSession, string[]>();
    for (const key of keys) {
      const session = this.#of({ key });
      const group = groups.get(session);
      if (group === undefined) groups.set(session, [key]);
      else group.push(key);
    }
    return groups;
  }

  #of({ key }: { readonly key: string }): PooledSession {
    if (this.#others.length === 0) return this.#first.session;
    const hash = hashOf(key);
    let chosen = this.#first;
    let highest = chosen.ready ? rankOf(hash, chosen.seed) : -1;
    for (const other of this.#others) {
      const rank = other.ready ? rankOf(hash, other.seed) : -1;
      if (rank <= highest) continue;
      highest = rank;
      chosen = other;
    }
    return chosen.session;
  }

  async #grow(): Promise<void> {
    if (this.#counting) return;
    this.#counting = true;
    const count = await this.parts.countAddresses();
    this.#counting = false;
    while (!this.#closed && this.#others.length + 1 < Math.min(count, SESSIONS_MAX)) {
      const other: Member = this.#memberOf(() => this.#openedOther(other));
      this.#others.push(other);
      other.session.open();
    }
  }

  #memberOf(opened: () => void): Member {
    const broken = () => {
      member.ready = false;
      // Calls open the first one while it has all of them.
      if (this.#others.length > 0) this.#reopen(member, REOPEN_MS);
    };
    const session = this.parts.create({ opened, broken });
    const member: Member = { session, ready: false, seed: 0, lookAgainMs: LOOK_AGAIN_MIN_MS };
    return member;
  }

  #openedFirst(): void {
    const { peer } = this.#first.session;
    this.#has(this.#first, peer);
    // It was opened again, to the replica of another one.
    for (const other of this.#others) {
      if (other.ready && other.session.peer === peer) this.#leave(other);
    }
    void this.#grow();
  }

  #openedOther(other: Member): void {
    const { peer } = other.session;
    const isTaken = [this.#first, ...this.#others].some(
      (it) => it !== other && (it.ready || it === this.#first) && it.session.peer === peer,
    );
    if (isTaken) this.#leave(other);
    else this.#has(other, peer);
  }

  #has(member: Member, peer: string | undefined): void {
    member.ready = true;
    member.seed = hashOf(peer ?? '') ^ this.parts.salt;
    member.lookAgainMs = LOOK_AGAIN_MIN_MS;
  }

  /** Another session has its replica. The next one goes to the next address. */
  #leave(other: Member): void {
    other.ready = false;
    other.session.leave();
    this.#reopen(other, other.lookAgainMs);
    other.lookAgainMs = Math.min(2 * other.lookAgainMs, LOOK_AGAIN_MAX_MS);
  }

  #reopen(member: Member, afterMs: number): void {
    if (this.#closed) return;
    this.parts.clock.behind(afterMs, () => {
      if (!this.#closed && !member.ready) member.session.open();
    });
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof DibsError && error.cause instanceof SessionRefused;
}

function withoutCause(error: unknown): unknown {
  return error instanceof DibsError ? withCause(error) : error;
}
