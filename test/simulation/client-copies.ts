import { keyOf } from '../../src/coordination/words/key.js';
import type {
  GetOrLockRequest,
  GetOrLockResponse,
  Hit,
  InvalidateRequest,
  PublishRequest,
  SessionCall,
} from '../../src/grpc/generated/dibs/v1/coordinator.js';
import { decodeToken } from '../../src/grpc/token.js';
import type { Judge } from './judge.js';
import type { Change, Made, Moment, OldValues } from './old-values.js';
import type { SimReplica } from './sim-replica.js';
import type { StreamWitness } from './sim-session-stream.js';

/** How long a client serves its near cache without a beat. Its clock is at most 0.4 % off. */
const BEAT_MS_MAX = 3_000 * 1.01;
/** How long a client serves what it rebuilt without the service. It receives no changes then. */
const ALONE_MS_MAX = 5_000 * 1.01;

/** What one session has told its client about its replica. */
interface Heard {
  readonly replica: SimReplica;
  /** When the replica's welcome was sent; undefined before. */
  welcomedAt: number | undefined;
  /** A processed message proves that the client knows all that had arrived at the replica when it was sent. */
  readonly messages: { readonly sentAt: number; readonly processedAt: number }[];
  /** A call was sent on it. */
  isUsed: boolean;
  endedAt: number | undefined;
}

/** How an answer reached the client. */
export interface Way {
  readonly replica: SimReplica;
  /** When its request was sent. */
  readonly sentAt: number;
  readonly isOverSession: boolean;
}

/** A value that one caller in the client got. */
export interface Given {
  readonly id: string;
  readonly namespace: string;
  readonly nonce: string;
  /** When the caller arrived. */
  readonly came: Moment;
  /** The nonce of the rebuild that the caller itself ran. */
  readonly ownNonce: string | undefined;
  /** The value came from the near cache. */
  readonly isNear: boolean;
  /** The caller does not accept stale values. */
  readonly fresh: boolean;
}

/**
 * INV-15 in a client. A copy that was requested before a change arrived at the client may not go to a caller that came
 * after the change. A change has arrived when the client has processed a message that its replica sent after it knew
 * the change, or has the answer to its own invalidation. Each broken session counts as a change of everything, unless no
 * call was sent on it: then no copy depends on what it would have reported.
 */
export class ClientCopies {
  readonly #heard: Heard[] = [];
  readonly #own: { readonly request: Named; readonly returnedAt: number }[] = [];
  readonly #brokenAt: number[] = [];
  /** When each value was last requested, by its nonce. */
  readonly #askedAt = new Map<string, number>();
  /** The nonces of values that came over a session. */
  readonly #overSession = new Set<string>();
  /** When each value that was rebuilt without the service was made, by its nonce. */
  readonly #madeAlone = new Map<string, number>();
  /** The nonces of leases, by key and fence. */
  readonly #leases = new Map<string, string>();
  /** When each lease first reached the client, by its nonce. */
  readonly #leasedAt = new Map<string, number>();
  /** The replica that answered the publish and said whether the value counts, by the nonce of the lease. */
  readonly #publishedBy = new Map<string, SimReplica>();
  readonly #calls = new Map<number, { readonly call: SessionCall; readonly sentAt: number }>();

  constructor(
    private readonly judge: Judge,
    private readonly name: string,
    readonly watched: ReadonlySet<string>,
  ) {}

  /** Observes a new session. */
  witness(replica: SimReplica): StreamWitness {
    const heard: Heard = { replica, welcomedAt: undefined, messages: [], isUsed: false, endedAt: undefined };
    this.#heard.push(heard);
    const { judge } = this;
    return {
      sent: (call) => {
        heard.isUsed = true;
        this.#calls.set(call.id, { call, sentAt: judge.now() });
      },
      told: (message) => {
        const sentAt = judge.now();
        if (message.welcome !== undefined) heard.welcomedAt = sentAt;
        return (phase) => {
          if (phase === 'after') {
            heard.messages.push({ sentAt, processedAt: judge.now() });
            if (message.events.some(({ event }) => event?.$case === 'draining')) this.#broken(heard);
            return;
          }
          for (const { id, response } of message.replies) {
            const asked = this.#calls.get(id);
            this.#calls.delete(id);
            if (asked === undefined || response === undefined) continue;
            const way = { replica, sentAt: asked.sentAt, isOverSession: true };
            this.answered(response.$case, asked.call.request?.value, response.value, way);
          }
        };
      },
      ended: () => this.#broken(heard),
    };
  }

  #broken(heard: Heard): void {
    heard.endedAt ??= this.judge.now();
    if (heard.isUsed) this.#brokenAt.push(this.judge.now());
  }

  /** An answer reached the client. */
  answered(name: string, request: unknown, reply: unknown, way: Way): void {
    if (name === 'publish') this.#published(request as PublishRequest, way);
    if (name !== 'getOrLock') return;
    const { sentAt, isOverSession } = way;
    const { outcome } = reply as GetOrLockResponse;
    const { namespace, key: text } = request as GetOrLockRequest;
    if (outcome?.$case === 'hit') this.#came(outcome.value, sentAt, isOverSession);
    if (outcome?.$case !== 'lease') return;
    const { token, fence, previous } = outcome.value;
    if (previous !== undefined) this.#came(previous, sentAt, false);
    const key = keyOf(namespace, text);
    const lease = decodeToken('', key, token);
    if (lease === undefined) return;
    this.judge.oldValues.held(key.id, lease.nonce, lease.kind === 'armed' ? 'none' : 'store_lost');
    this.#leases.set(`${key.id} ${fence}`, lease.nonce);
    if (!this.#leasedAt.has(lease.nonce)) this.#leasedAt.set(lease.nonce, this.judge.now());
  }

  #published({ namespace, key, token }: PublishRequest, { replica }: Way): void {
    const lease = decodeToken('', keyOf(namespace, key), token);
    if (lease !== undefined) this.#publishedBy.set(lease.nonce, replica);
  }

  #came({ payload }: Hit, sentAt: number, isOverSession: boolean): void {
    if (payload?.$case !== 'value') return;
    const nonce = nonceIn(payload.value);
    this.#askedAt.set(nonce, Math.max(sentAt, this.#askedAt.get(nonce) ?? 0));
    if (isOverSession) this.#overSession.add(nonce);
  }

  /** A rebuild begins under the lease with this fence. Returns the lease's nonce. */
  rebuilding(id: string, fence: number): string {
    return this.#leases.get(`${id} ${fence}`) ?? '';
  }

  /** A rebuild without the service has ended. */
  rebuiltAlone(nonce: string, nowMs: number): void {
    this.#madeAlone.set(nonce, nowMs);
  }

  /** The client's own invalidation has ended, with or without success. */
  invalidated(request: Named): void {
    this.#own.push({ request, returnedAt: this.judge.now() });
  }

  /** Judges the value that a caller got. */
  given(given: Given): void {
    const { nonce, ownNonce, isNear, id, fresh, came } = given;
    if (nonce === ownNonce || !this.judge.storeKept) return;
    const aloneMs = came.ms - (this.#madeAlone.get(nonce) ?? came.ms);
    if (aloneMs > ALONE_MS_MAX)
      this.#violated(id, `${nonce}, made without the service, is ${aloneMs} ms old`);
    if (isNear && !this.#overSession.has(nonce))
      this.#violated(id, `${nonce} is in the near cache, but came over no session`);
    const { oldValues } = this.judge;
    const old = oldValues.ofCopy({ id, nonce, fresh: fresh || isNear }, (change, made) =>
      this.#whyOld(given, change, made, oldValues),
    );
    if (old !== undefined) this.#violated(id, `a caller gets ${old}`);
  }

  #whyOld(given: Given, change: Change, made: Made, oldValues: OldValues): string | undefined {
    const { nonce, namespace, came, id } = given;
    if (change.appliedAt >= came.at) return undefined;
    const askedAt = this.#askedAt.get(nonce);
    const isJoined =
      askedAt === undefined && came.at > (this.#leasedAt.get(nonce) ?? Number.POSITIVE_INFINITY);
    if (isJoined && this.#isKnown(nonce, change, came, oldValues))
      return 'came before the caller of a rebuild here, and the replica that took its value knew it';
    const lastAt = askedAt ?? made.givenAt;
    const isAfter = (at: number | undefined) => at !== undefined && at < came.at && lastAt < at;
    const isAlone = this.#madeAlone.has(nonce);
    if (!isAlone && this.#brokenAt.some(isAfter))
      return 'came before the caller, and a session has broken since it was read';
    for (const { request, returnedAt } of this.#own) {
      if (request.namespace !== namespace || !isAfter(returnedAt) || change.appliedAt > returnedAt) continue;
      if (concerns(request, id, made.tags)) return 'came before the own invalidation had returned';
    }
    if (!this.watched.has(namespace)) return undefined;
    for (const heard of this.#heard) {
      if (isAfter(arrivedBy(heard, change, oldValues))) return 'arrived before the caller came';
      const there = oldValues.wokenAt(heard.replica, change);
      if (isAlone || there === undefined || lastAt > there.at || heard.welcomedAt === undefined) continue;
      const isIn = heard.welcomedAt < there.at && there.at < (heard.endedAt ?? Number.POSITIVE_INFINITY);
      if (isIn && came.ms - there.ms > BEAT_MS_MAX) return 'was due long ago, and no beat has come since';
    }
    return undefined;
  }

  /** Whether the replica that said that the value counts knew of the change before the caller came. */
  #isKnown(nonce: string, change: Change, came: Moment, oldValues: OldValues): boolean {
    const replica = this.#publishedBy.get(nonce);
    // A value whose publish has no answer counts only for the caller that rebuilt it.
    if (replica === undefined) return true;
    const heardAt = [oldValues.arrivedAt(replica, change), oldValues.coveredAt(replica, change, 0)];
    return heardAt.some((at) => at !== undefined && at < came.at);
  }

  #violated(id: string, what: string): void {
    this.judge.violated('INV-15', `${id}: ${this.name}: ${what}`);
  }
}

type Named = Pick<InvalidateRequest, 'namespace' | 'keys' | 'tags' | 'all'> & {
  readonly ids: readonly string[];
};

function concerns({ all, tags, ids }: Named, id: string, valueTags: readonly string[]): boolean {
  return all || ids.includes(id) || tags.some((tag) => valueTags.includes(tag));
}

/** When the client processed the first message that its replica sent after the change had arrived there. */
function arrivedBy(
  { replica, welcomedAt, messages }: Heard,
  change: Change,
  oldValues: OldValues,
): number | undefined {
  const there = oldValues.wokenAt(replica, change)?.at;
  // A lost or newly confirmed channel is reported like a change of everything.
  const covers = oldValues.coveredAt(replica, change, welcomedAt);
  const at = Math.min(there ?? Number.POSITIVE_INFINITY, covers ?? Number.POSITIVE_INFINITY);
  return messages.find(({ sentAt }) => sentAt > at)?.processedAt;
}

export function nonceIn(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString().split(' ')[1] ?? '';
}
