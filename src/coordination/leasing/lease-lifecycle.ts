import { inPatience, isLost, unlessBefore } from '../degradation/patience.js';
import {
  ignoreIfRefused,
  rethrowUnlessUnavailable,
  throwIfOnLossFails,
  unavailable,
  undefinedIfUnavailable,
} from '../degradation/unavailable.js';
import type { Clock } from '../ports/clock.js';
import type { LeaseQuorum } from '../ports/lease-quorum.js';
import { StoreUnavailable, type ValueStore } from '../ports/value-store.js';
import { CoordinationError } from '../words/errors.js';
import type { Key } from '../words/key.js';
import type { ExtendAnswer, Lease, LeaseEnd, ReleaseOutcome, TakenOver } from '../words/outcome.js';
import type { Limits, Policy } from '../words/policy.js';
import type { RecordFacts } from '../words/record.js';
import type { Extend, Release } from '../words/requests.js';
import type { Token } from '../words/token.js';
import { isArmed } from './armed-at-store.js';
import { driftMs, leaseMsIn } from './drift.js';
import type { HeldLeases } from './held-leases.js';
import type { RebuildSlots } from './rebuild-slots.js';

export interface LeasePorts {
  readonly store: ValueStore;
  readonly quorum: LeaseQuorum;
  readonly clock: Clock;
  readonly limits: Limits;
  policyOf(namespace: string): Policy;
}

interface Ending {
  readonly end: LeaseEnd;
  /** Only if the lease still has this owner number. */
  readonly owner?: number;
  readonly failure?: Release['failure'];
}

/** Extends leases and ends them, other than by a publish. */
export class LeaseLifecycle {
  /** The extensions under way, by nonce, and whether the lease has ended here since they began. */
  readonly #extending = new Map<string, { calls: number; isOver: boolean }>();

  constructor(
    private readonly parts: LeasePorts,
    private readonly held: HeldLeases,
    private readonly slots: RebuildSlots,
  ) {}

  /** Ends the lease of a caller that left before it was sent, or with its session, unless it was handed out again. */
  async giveBack(key: Key, lease: Lease, end: 'cancelled' | 'session_lost'): Promise<void> {
    const { token } = lease;
    if (token.kind === 'armed') await this.endArmed(key, token, { end, owner: lease.owner });
    else if (this.held.get(token.nonce)?.owner === lease.owner) await this.endUnstored(key, token, end);
  }

  /** Rejects as `unavailable` if the store does not answer; releasing again is safe. */
  async release(request: Release): Promise<ReleaseOutcome> {
    const { token } = request;
    if (token === undefined) return 'not_held';
    const end = request.failure === undefined ? 'released' : 'failed';
    if (token.kind !== 'armed') {
      const known = this.held.get(token.nonce) !== undefined;
      await this.endUnstored(request.key, token, end);
      return known ? 'released' : 'not_held';
    }
    return this.endArmed(request.key, token, { end, failure: request.failure });
  }

  /** Rejects as `unavailable` if it is unknown whether the lease lasts; extending again is safe. */
  async extend(request: Extend): Promise<ExtendAnswer> {
    const { token } = request;
    if (token === undefined) return LOST;
    const { key } = request;
    const leaseMs = request.leaseMs ?? leaseMsIn(token, this.parts.policyOf(key.namespace));
    // A caller can make up any token, so what this replica knows decides, else what the store knows. Lock nodes do not
    // know better: an extension locks what is free.
    const held = this.held.get(token.nonce);
    if ((held?.kind ?? token.kind) !== 'armed') return this.#extendUnstored(key, token, leaseMs);
    const isKnown = held?.key.id === key.id || (await isArmed(this.parts, key, token));
    return isKnown ? this.extendArmed(key, token, leaseMs) : this.#lost(key, token);
  }

  /**
   * The lease was extended on another session. It belongs to that session from now on, and this replica watches its
   * end. The store may be late with it: its time has been running since the extension. If its first session has given it
   * back since the extension, it is lost, and its holder must stop: another caller may have the next lease.
   */
  async takeOver(key: Key, token: Token, { expiresInMs }: ExtendAnswer): Promise<TakenOver> {
    const untilMs = this.parts.clock.nowMs() + expiresInMs;
    const taken = await this.#taken(key, token, untilMs);
    if (taken === 'given_back') return { answer: this.#lost(key, token), taken: undefined };
    return { answer: this.#extended(key, token, untilMs), taken };
  }

  /** Undefined if the store does not answer or does not know the lease: then it stays where it was. */
  async #taken(key: Key, token: Token, untilMs: number): Promise<Lease | 'given_back' | undefined> {
    const { nonce, fence, leaseMs } = token;
    // Only this replica knows it, since it has just extended it.
    if (token.kind !== 'armed') return this.held.get(nonce) === undefined ? 'given_back' : undefined;
    let record: RecordFacts | undefined;
    try {
      record = await this.parts.store.adopt(key.id, nonce);
    } catch (error) {
      this.#overIfForeign(error, key, token);
      return undefinedIfUnavailable(error);
    }
    const armed = record?.lease;
    if (armed === undefined) return 'given_back';
    const { owner, holder, traceparent, requestKey, reason } = armed;
    const held = this.held.get(nonce);
    const nowMs = this.parts.clock.nowMs();
    if (held !== undefined) held.owner = owner;
    else {
      this.held.add({
        key,
        nonce,
        kind: 'armed',
        fence,
        leaseMs,
        holder,
        traceparent,
        requestKey,
        reason,
        owner,
        sinceMs: nowMs - armed.ageMs,
        // Earlier changes were not counted here, so without the store it passes nothing on.
        givenAt: Number.NEGATIVE_INFINITY,
        untilMs,
      });
    }
    const expiresInMs = Math.floor(untilMs - nowMs);
    return expiresInMs < 1 ? undefined : { kind: 'lease', token, fence, expiresInMs, reason, owner };
  }

  /** Takes back a lease that the store does not decide about, and a record that it may have left armed. */
  async endUnstored(key: Key, token: Token, end: LeaseEnd): Promise<void> {
    this.held.end(token.nonce, end);
    // The store may have been there when it was taken.
    void this.slots.leave(key.namespace, token.nonce);
    await Promise.all([
      this.parts.quorum.release(key.id, token.nonce),
      // The step may have been taken although its reply was lost. No caller must wait for the lease then.
      this.parts.store
        .release(key.id, { nonce: token.nonce, end, keepMs: this.parts.limits.leaseMsMax })
        .catch(ignoreIfRefused),
    ]);
  }

  /** With an `owner`, only if the lease was not handed out again since. */
  async endArmed(key: Key, token: Token, { end, owner, failure }: Ending): Promise<ReleaseOutcome> {
    const { store, quorum, limits } = this.parts;
    const { failureBackoffMs: backoffMs, failureBackoffMsMax } = this.parts.policyOf(key.namespace);
    let outcome: ReleaseOutcome;
    try {
      outcome = await store.release(key.id, {
        nonce: token.nonce,
        end,
        owner,
        failure: failure && {
          message: failure.message,
          retryAfterMs: failure.retryAfterMs,
          backoffMs,
          backoffMsMax: failureBackoffMsMax,
        },
        keepMs: limits.leaseMsMax,
      });
    } catch (error) {
      // Something else has the name of the key, so that no lease of it is armed, or it is a fault of our own.
      if (!(error instanceof StoreUnavailable)) this.over(key, token, end);
      rethrowUnlessUnavailable(error);
      // Only the store knows whether it was handed out again. With an owner to compare, the lock has to expire.
      if (owner !== undefined) return 'not_held';
      void quorum.release(key.id, token.nonce);
      throw unavailable(
        'the value store does not answer, so the lease lasts until it expires; releasing again is safe',
      );
    }
    if (outcome === 'released' || owner === undefined) this.over(key, token, end);
    return outcome;
  }

  /** Ends what this replica knows of a lease that has ended, with its lock and its slot. */
  over({ id, namespace }: Key, { nonce }: Token, end: LeaseEnd): void {
    const extending = this.#extending.get(nonce);
    if (extending !== undefined) extending.isOver = true;
    this.held.end(nonce, end);
    void this.parts.quorum.release(id, nonce);
    void this.slots.leave(namespace, nonce);
  }

  /** Something else has the name of the key, so that no lease of it is armed. */
  #overIfForeign(error: unknown, key: Key, token: Token): void {
    if (error instanceof CoordinationError) this.over(key, token, 'expired');
  }

  /** The lock nodes first, then the store; without a majority of nodes, the store alone. */
  async extendArmed(key: Key, token: Token, leaseMs: number): Promise<ExtendAnswer> {
    const { nonce } = token;
    const extending = this.#extending.get(nonce) ?? { calls: 0, isOver: false };
    this.#extending.set(nonce, extending);
    extending.calls += 1;
    try {
      const answer = await this.#extendArmed(key, token, leaseMs);
      // Another extension may have found meanwhile that it is over, and its locks are free.
      return extending.isOver && answer.outcome === 'extended' ? this.#lost(key, token) : answer;
    } finally {
      extending.calls -= 1;
      if (extending.calls === 0) this.#extending.delete(nonce);
    }
  }

  async #extendArmed(key: Key, token: Token, leaseMs: number): Promise<ExtendAnswer> {
    const { quorum, clock } = this.parts;
    const askedMs = clock.nowMs();
    const holdMs = this.#holdUntilMs(key, token) - askedMs;
    if (holdMs < 1) return this.#lost(key, token);
    const ballot = await quorum.extend(key.id, token.nonce, Math.min(holdMs, leaseMs));
    if (ballot.kind === 'held') return this.#lost(key, token);
    if (ballot.kind === 'undecided') return this.#unextended(key, token);
    const quorumLost = ballot.kind === 'unavailable';
    const policy = this.parts.policyOf(key.namespace);
    // Lock nodes that are only late may decide the next time.
    if (quorumLost && ballot.late === true && policy.onLoss === 'fail') return this.#unextended(key, token);
    if (quorumLost) throwIfOnLossFails(policy, 'the lock nodes');
    const validUntilMs = quorumLost ? askedMs + leaseMs - driftMs(leaseMs) : ballot.validUntilMs;
    const storing = this.#extendStored({ key, token, validUntilMs, quorumLost });
    // The store alone decides, so wait for its answer.
    return quorumLost ? storing : this.#unlessLate(key, token, validUntilMs, storing);
  }

  async #extendStored({ key, token, validUntilMs, quorumLost }: Extension): Promise<ExtendAnswer> {
    const { store, quorum, clock, limits } = this.parts;
    const policy = this.parts.policyOf(key.namespace);
    try {
      const sentMs = clock.nowMs();
      const expiresInMs = Math.max(1, Math.ceil(validUntilMs - sentMs));
      const reply = await inPatience(
        this.parts,
        key.namespace,
        store.extend(key.id, {
          nonce: token.nonce,
          expiresInMs,
          quorumLost,
          group: quorum.groupOf(key.id).name,
          keepMs: limits.leaseMsMax,
          holdMs: policy.leaseHoldMsMax,
        }),
      );
      if (!reply.extended) return this.#lost(key, token);
      // As long as the lease: an extension never shortens it.
      void this.slots.keep(key.namespace, token.nonce, token.nonce, reply.expiresInMs);
      // The store counts from when it took the step, which may be long before its reply.
      const untilMs = Math.min(validUntilMs, sentMs + reply.expiresInMs);
      const held = this.held.get(token.nonce);
      if (held !== undefined) held.storedUntilMs = Math.max(held.storedUntilMs ?? 0, untilMs);
      return this.#extended(key, token, untilMs);
    } catch (error) {
      this.#overIfForeign(error, key, token);
      rethrowUnlessUnavailable(error);
      if (!isLost(error, policy)) return this.#unextended(key, token);
      if (quorumLost)
        throw unavailable('neither lock nodes nor value store can extend the lease; extending again is safe');
      return { ...this.#extended(key, token, validUntilMs), storeLost: true };
    }
  }

  /**
   * The lock nodes have extended the lease, and the store may confirm it late. The holder must get an answer before its
   * lease ends. Until S after the end that the store has confirmed, neither the store alone nor the lock nodes grant
   * another lease, so this one may last until then. The store's answer still counts when it comes.
   */
  async #unlessLate(
    key: Key,
    token: Token,
    validUntilMs: number,
    storing: Promise<ExtendAnswer>,
  ): Promise<ExtendAnswer> {
    const { clock, limits } = this.parts;
    const { untilMs, storedUntilMs } = this.held.get(token.nonce) ?? {};
    const { silenceMs, storeTimeoutMs } = limits;
    if (untilMs === undefined || storedUntilMs === undefined) return storing;
    const lateUntilMs = Math.min(validUntilMs, storedUntilMs + silenceMs - driftMs(silenceMs));
    const waitMs = Math.max(storeTimeoutMs, (untilMs - clock.nowMs()) / 2);
    if (lateUntilMs - clock.nowMs() < waitMs) return storing;
    return unlessBefore(clock, waitMs, storing, (resolve) => {
      if (lateUntilMs - clock.nowMs() >= 1) resolve(this.#extended(key, token, lateUntilMs));
    });
  }

  /** No decision: the lease keeps its old end, which only the replica that granted it knows exactly. */
  #unextended(key: Key, token: Token): ExtendAnswer {
    const held = this.held.get(token.nonce);
    if (held === undefined)
      throw unavailable('the lock nodes reached no decision, so the lease keeps its end; extend again');
    return this.#extended(key, token, held.untilMs);
  }

  async #extendUnstored(key: Key, token: Token, leaseMs: number): Promise<ExtendAnswer> {
    const { quorum, clock } = this.parts;
    // The store does not know this lease. Only the replica that granted it does.
    const held = this.held.get(token.nonce);
    if (held === undefined || held.key.id !== key.id) return LOST;
    const nowMs = clock.nowMs();
    const holdUntilMs = this.#holdUntilMs(key, token);
    if (holdUntilMs <= nowMs) return this.#lost(key, token);
    void this.slots.keep(key.namespace, token.nonce, token.nonce, leaseMs);
    if (held.kind === 'local') {
      return this.#extended(key, token, Math.min(holdUntilMs, nowMs + leaseMs - driftMs(leaseMs)));
    }
    const ballot = await quorum.extend(key.id, token.nonce, leaseMs);
    if (ballot.kind === 'granted')
      return this.#extended(key, token, Math.min(holdUntilMs, ballot.validUntilMs));
    if (ballot.kind === 'held') return this.#lost(key, token);
    return this.#unextended(key, token);
  }

  /** When it has lasted for as long as a lease may, as far as this replica knows. */
  #holdUntilMs({ namespace }: Key, { nonce }: Token): number {
    const { sinceMs = Number.POSITIVE_INFINITY } = this.held.get(nonce) ?? {};
    return sinceMs + this.parts.policyOf(namespace).leaseHoldMsMax;
  }

  #lost(key: Key, token: Token): ExtendAnswer {
    this.over(key, token, 'expired');
    return LOST;
  }

  #extended(key: Key, token: Token, untilMs: number): ExtendAnswer {
    const expiresInMs = Math.floor(untilMs - this.parts.clock.nowMs());
    // Another extension, perhaps on another replica, may have lengthened an armed lease and its locks. These expire by
    // themselves.
    if (expiresInMs < 1) return token.kind === 'armed' ? LOST : this.#lost(key, token);
    const held = this.held.get(token.nonce);
    if (held !== undefined) held.untilMs = Math.max(held.untilMs, untilMs);
    return { outcome: 'extended', expiresInMs };
  }
}

interface Extension {
  readonly key: Key;
  readonly token: Token;
  readonly validUntilMs: number;
  readonly quorumLost: boolean;
}

const LOST: ExtendAnswer = { outcome: 'lost', expiresInMs: 0 };
