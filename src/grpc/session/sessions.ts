import { randomBytes } from 'node:crypto';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Visitor } from '../../access/guard.js';
import type { Clock } from '../../coordination/ports/clock.js';
import type { WakeChannel } from '../../coordination/ports/wake-channel.js';
import { CoordinationError } from '../../coordination/words/errors.js';
import { keyFromId } from '../../coordination/words/key.js';
import type { Edge } from '../answer.js';
import { admit, type Shown } from '../credentials.js';
import { decodeHello, invalid, messageOf } from '../decode.js';
import { failedStatus } from '../failure.js';
import {
  CoordinatorServiceService as contract,
  type SessionRequest,
  type SessionResponse,
} from '../generated/dibs/v1/coordinator.js';
import type { Decoded } from '../strict-codec.js';
import type { Turns } from '../turns.js';
import { Intake } from './intake.js';
import { Outbox } from './outbox.js';
import { Session } from './session.js';
import { SessionShares } from './session-shares.js';

export type SessionStream = ServerDuplexStream<Decoded<SessionRequest>, SessionResponse> & Shown;

export interface SessionsParts {
  readonly edge: Edge;
  readonly wakes: WakeChannel;
  readonly turns: Turns;
  readonly clock: Clock;
  /** Runs what gathers messages, once all that has arrived was read. Default: `setImmediate`. */
  readonly atEndOfTurn?: (flush: () => void) => void;
  /** How long leases outlive a broken stream. */
  readonly graceMs: number;
  /** How long a session stays on one connection before its client is asked to reconnect. */
  readonly ageMs: number;
}

/** How long clients of a stopping replica have to move. Open calls are answered until then. */
const CLOSES_IN_MS = 5_000;
/** A client's own cache serves nothing after 3 s without a beat, so two beats may be late. */
const BEAT_EVERY_MS = 1_000;
/** The event for "anything in the namespace may have changed". */
const ALL = { keys: [], tags: [], all: true } as const;
/** After the connection has stopped accepting streams. Otherwise clients would return on the same connection. */
const AGE_OVER_CONNECTION = 1.15;
/** Longer than the longest wait. A client that stays longer after being asked to leave is disconnected. */
const LEAVES_IN_MS = 10_000;

interface Open {
  readonly session: Session;
  readonly outbox: Outbox;
  readonly watched: ReadonlySet<string>;
  /** Those that its identity may no longer read. */
  readonly unreadable: Set<string>;
  readonly resumeToken: string;
  /** Absent without identities. */
  readonly visitor: Visitor | undefined;
  /** Resolves when its client has ended the stream and has all answers, or is gone. */
  readonly left: Promise<void>;
  leave(): void;
  /** Ends the count of its age. */
  cancelAge: () => void;
  /** Its client was asked to move. Its leases stay with the client, not with the stream. */
  leaving: boolean;
  close(): void;
}

/** All sessions of this replica: opens, resumes, notifies and drains them. */
export class Sessions {
  readonly #open = new Set<Open>();
  /** Sessions with a broken stream, until their grace ends. */
  readonly #parked = new Map<string, { readonly session: Session; readonly cancel: () => void }>();
  readonly #shares = new SessionShares();
  readonly #stopListening: () => void;
  #cancelBeat = () => {};
  #draining = false;
  #stopped = false;

  constructor(private readonly parts: SessionsParts) {
    this.#stopListening = parts.wakes.listen({
      wake: ({ id, kind }) => {
        if (this.#open.size === 0 || (kind !== 'published' && kind !== 'invalidated')) return;
        const { namespace, key } = keyFromId(id);
        this.#tell(namespace, { keys: [key], tags: [], all: false });
      },
      namespaceWake: (it) => {
        if (it.kind !== 'tags') return;
        // A wake of an older replica names no tags, so it may concern any.
        const { tags, all } = it.wake ?? ALL;
        this.#tell(it.namespace, { keys: [], tags, all });
      },
      resubscribed: () => this.#tellAll(),
      disconnected: () => this.#tellAll(),
    });
    this.#beat();
  }

  /** The number of open streams. */
  get open(): number {
    return this.#open.size;
  }

  /** Serves one stream until it ends. */
  serve(stream: SessionStream): void {
    let open: Open | undefined;
    let over = false;
    const { edge } = this.parts;
    const fail = (error: unknown) => stream.emit('error', failedStatus(edge, contract.session.path, error));
    if (this.#stopped) {
      fail(new CoordinationError('unavailable', 'this replica is stopping', 0));
      return;
    }
    let visitor: Visitor | undefined;
    try {
      const { guard } = edge;
      visitor = guard && admit(guard, stream, contract.session.path);
    } catch (error) {
      fail(error);
      return;
    }
    const failed = (error: unknown) => {
      over = true;
      intake.end();
      fail(error);
      if (open !== undefined) this.#broken(open);
    };
    const intake = new Intake(this.parts.turns, {
      take: (at, call) => open?.session.receive(at, call) ?? 0,
      cancel: (id) => open?.session.cancel(id),
      fail: failed,
      reading: (isWanted) => over || (isWanted ? stream.resume() : stream.pause()),
      after: (ms, act) => this.parts.clock.after(ms, act),
    });
    stream.on('data', (decoded: Decoded<SessionRequest>) => {
      if (over) return;
      try {
        const message = messageOf(decoded);
        if (open === undefined) open = this.#begin(stream, message, visitor, intake);
        else if (message.hello !== undefined)
          throw invalid('hello: set again; only the first message may have it');
        this.#askToLeaveIfRevoked(open);
        intake.add(message);
      } catch (error) {
        failed(error);
      }
    });
    stream.on('end', () => {
      // The client has ended its side. It still gets its answers, and then its leases end.
      void intake
        .empty()
        .then(() => open?.session.idle())
        .then(() => open?.outbox.flushed())
        .then(() => {
          stream.end();
          open?.leave();
        });
    });
    const gone = () => {
      over = true;
      intake.end();
      if (open !== undefined) this.#broken(open);
    };
    stream.on('cancelled', gone);
    stream.on('close', gone);
    stream.on('error', gone);
  }

  /** Asks clients to move. They keep their leases. */
  drain(): void {
    this.#draining = true;
    for (const open of this.#open) this.#askToLeave(open);
  }

  /**
   * Resolves when all clients have ended their streams, or after a timeout. Does not end a stream without an open call,
   * because its client may have sent one before it knew of the drain.
   */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#stopListening();
    this.#cancelBeat();
    let cancel = () => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.parts.clock.after(CLOSES_IN_MS, resolve);
    });
    await Promise.all(
      [...this.#open].map(async ({ left, close }) => {
        await Promise.race([left, late]);
        close();
      }),
    );
    cancel();
    for (const { cancel } of this.#parked.values()) cancel();
  }

  #begin(
    stream: SessionStream,
    { hello }: SessionRequest,
    visitor: Visitor | undefined,
    intake: Intake,
  ): Open {
    if (hello === undefined) throw invalid('hello: not set; the first message must have it');
    const { resumeToken, holder, watchedNamespaces } = decodeHello(hello);
    const { identity = '' } = visitor ?? {};
    for (const namespace of watchedNamespaces) {
      this.parts.edge.guard?.allow(identity, 'Session', 'read', namespace, 0);
    }
    const parked = this.#parkedOf(identity, resumeToken);
    if (parked !== undefined) {
      parked.cancel();
      this.#parked.delete(resumeToken);
    }
    const session =
      parked?.session ?? this.#shares.count(new Session(this.parts.edge, identity, holder), stream.getPeer());
    const outbox = new Outbox(stream, intake.hold, this.parts.atEndOfTurn);
    let leave = () => {};
    const left = new Promise<void>((resolve) => {
      leave = resolve;
    });
    const open: Open = {
      session,
      outbox,
      visitor,
      watched: new Set(watchedNamespaces),
      unreadable: new Set(),
      left,
      leave,
      resumeToken: parked === undefined ? randomBytes(16).toString('base64url') : resumeToken,
      leaving: false,
      cancelAge: this.#afterAge(() => open),
      close: () => stream.end(),
    };
    session.attach(outbox, visitor, intake.pace);
    this.#open.add(open);
    outbox.welcome({
      resumeToken: open.resumeToken,
      resumed: parked !== undefined,
      graceMs: this.parts.graceMs,
    });
    if (this.#draining) this.#askToLeave(open);
    return open;
  }

  /** Only for the same identity, so a stolen token cannot resume another identity's session. */
  #parkedOf(identity: string, resumeToken: string) {
    const parked = this.#parked.get(resumeToken);
    return parked?.session.identity === identity ? parked : undefined;
  }

  #afterAge(of: () => Open): () => void {
    const { ageMs, edge, clock } = this.parts;
    return clock.after(ageMs * AGE_OVER_CONNECTION, () => {
      const open = of();
      this.#askToLeave(open);
      open.cancelAge = clock.after(edge.limits.waitMsMax + LEAVES_IN_MS, () => open.close());
    });
  }

  /** Its client moves to a session with its new credentials, and keeps its leases. */
  #askToLeaveIfRevoked(open: Open): void {
    if (open.visitor?.isKnown === false && !open.leaving) this.#askToLeave(open);
  }

  #askToLeave(open: Open): void {
    open.leaving = true;
    open.outbox.event({ $case: 'draining', value: { closesInMs: CLOSES_IN_MS } });
  }

  #broken(open: Open): void {
    if (!this.#open.delete(open)) return;
    open.leave();
    const { session, resumeToken } = open;
    open.cancelAge();
    session.attach(undefined);
    session.cancelAll();
    // A drain ends streams but not their leases.
    if (open.leaving) {
      this.#shares.give(session);
      return;
    }
    if (this.parts.graceMs === 0 || session.leases === 0) {
      this.#shares.give(session);
      void session.end();
      return;
    }
    const cancel = this.parts.clock.after(this.parts.graceMs, () => {
      this.#parked.delete(resumeToken);
      this.#shares.give(session);
      void session.end();
    });
    this.#parked.set(resumeToken, { session, cancel });
  }

  #tell(namespace: string, what: Told): void {
    for (const open of this.#open) if (open.watched.has(namespace)) this.#tellOne(open, namespace, what);
  }

  /** The last thing told about a namespace that may no longer be read: anything may change from now on. */
  #tellOne({ outbox, visitor, unreadable }: Open, namespace: string, told: Told | undefined): void {
    // Its client is asked to leave, and drops everything.
    if (visitor?.isKnown === false) return;
    const { guard } = this.parts.edge;
    const isReadable = visitor === undefined || guard?.may(visitor.identity, 'read', namespace) === true;
    const what = isReadable ? told : unreadable.has(namespace) ? undefined : ALL;
    if (isReadable) unreadable.delete(namespace);
    else unreadable.add(namespace);
    if (what === undefined) return;
    const value = { namespace, keys: [...what.keys], tags: [...what.tags], all: what.all };
    outbox.event({ $case: 'invalidated', value });
  }

  #beat(): void {
    this.#cancelBeat = this.parts.clock.after(BEAT_EVERY_MS, () => {
      this.#beat();
      this.#tellOfTheChannel();
    });
  }

  /**
   * While the wake channel is live, watching clients get a beat. Otherwise they get "anything may have changed", for
   * clients of the previous release.
   */
  #tellOfTheChannel(): void {
    for (const open of this.#open) this.#askToLeaveIfRevoked(open);
    if (!this.parts.wakes.live) {
      this.#tellAll();
      return;
    }
    for (const open of this.#open) {
      for (const namespace of open.watched) this.#tellOne(open, namespace, undefined);
      if (open.watched.size > 0) open.outbox.event({ $case: 'beat', value: {} });
    }
  }

  /** Anything may have changed in what they watch. */
  #tellAll(): void {
    for (const open of this.#open) {
      for (const namespace of open.watched) this.#tellOne(open, namespace, ALL);
    }
  }
}

interface Told {
  readonly keys: readonly string[];
  readonly tags: readonly string[];
  readonly all: boolean;
}
