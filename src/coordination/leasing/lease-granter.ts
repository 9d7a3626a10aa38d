import type { Lateness } from '../degradation/lateness.js';
import { inPatience, isLost } from '../degradation/patience.js';
import {
  rethrowUnlessUnavailable,
  throwIfOnLossFails,
  undecidedIfUnavailable,
} from '../degradation/unavailable.js';
import type { Chance } from '../ports/clock.js';
import { type ArmReply, StoreUnavailable } from '../ports/value-store.js';
import type { Changes } from '../reading/changes.js';
import type { ClockKeeper } from '../reading/clock-keeper.js';
import { hitOf } from '../reading/hit-of.js';
import type { Snapshot } from '../reading/snapshot.js';
import type { Key } from '../words/key.js';
import type { Degraded, Hit, Lease } from '../words/outcome.js';
import type { Token } from '../words/token.js';
import type { Span } from '../words/trace.js';
import { armRequestOf } from './arm-request.js';
import { armedSnapshot as snapshotOf } from './armed-snapshot.js';
import {
  type Attempt,
  type Candidate,
  forWhoIsHere,
  type Given,
  type Grant,
  type Tried,
  unarmed,
} from './attempt.js';
import { driftMs } from './drift.js';
import { unnamedLeaseMs } from './forecast.js';
import { heldOf, leaseOf } from './given-lease.js';
import { type Armed, handOn } from './hand-on.js';
import type { HeldLeases } from './held-leases.js';
import { keepingLock } from './kept-lock.js';
import type { LeaseLifecycle, LeasePorts } from './lease-lifecycle.js';
import { mintNonce } from './nonce.js';
import type { RebuildSlots } from './rebuild-slots.js';
import { ballotOf, EarlyVotes, type Votes } from './votes.js';
import { doesWithoutQuorum, mayDoWithoutQuorum } from './without-quorum.js';

export interface GranterParts extends LeasePorts {
  readonly chance: Chance;
}

/** What the granter shares with the coordinator's other parts. */
export interface GranterShared {
  readonly held: HeldLeases;
  readonly lifecycle: LeaseLifecycle;
  readonly slots: RebuildSlots;
  readonly changes: Changes;
  readonly keeper: Pick<ClockKeeper, 'forLease'>;
  readonly lateness: Pick<Lateness, 'longestMs' | 'note'>;
}

/** Grants leases and hands them out again: the quorum first, then the store. */
export class LeaseGranter {
  constructor(
    private readonly parts: GranterParts,
    private readonly shared: GranterShared,
  ) {}

  /** One attempt for one caller, if the namespace has a free rebuild slot. */
  async attempt(key: Key, tried: Tried): Promise<Attempt> {
    const { snapshot, waiter, reason, arrivals, next, early } = tried;
    const wantedMs = this.#leaseMsOf(key, snapshot, waiter);
    const entered = this.shared.slots.enter(key, wantedMs);
    const slot = entered instanceof Promise ? await entered : entered;
    if (slot === undefined) return { kind: 'held_back' };
    const votes = early?.take(waiter, wantedMs) ?? this.#ask(key, waiter, wantedMs);
    const { leaseMs } = votes;
    const deciding = this.#decide({ waiter, reason, snapshot, arrivals, next, key, leaseMs }, votes);
    const attempt = await deciding.catch((error) => {
      void this.shared.slots.leave(key.namespace, slot);
      throw error;
    });
    if (attempt.kind !== 'granted') void this.shared.slots.leave(key.namespace, slot);
    else void this.shared.slots.keep(key.namespace, slot, attempt.lease.token.nonce, leaseMs);
    return attempt;
  }

  /** Votes for a caller whose read is sent now. `expired` is what this replica has. None if a slot must come first. */
  voteEarly(key: Key, waiter: Candidate, expired: Snapshot): EarlyVotes | undefined {
    if (this.parts.policyOf(key.namespace).maxRebuilds > 0) return undefined;
    const votes = this.#ask(key, waiter, this.#leaseMsOf(key, expired, waiter));
    return new EarlyVotes(votes, this.parts.quorum, this.parts.clock);
  }

  #ask(key: Key, { call: { identity, trace } }: Candidate, leaseMs: number): Votes {
    const nonce = mintNonce(this.parts.chance, identity);
    const askedMs = this.parts.clock.nowMs();
    const ballot = ballotOf(this.parts.quorum, key, nonce, leaseMs, trace);
    return { key, nonce, identity, leaseMs, askedMs, ballot };
  }

  /** Asks the quorum first, then the store, and degrades step by step if parts are missing. */
  async #decide(asked: Grant, { identity, askedMs, ballot: voting }: Votes): Promise<Attempt> {
    const { quorum, clock, chance } = this.parts;
    const { key, leaseMs, snapshot } = asked;
    const ballot = await voting;
    const isLate = ballot.kind === 'unavailable' && ballot.late === true;
    const grant = forWhoIsHere(asked);
    if (grant === undefined) {
      if (ballot.kind === 'granted') await quorum.release(key.id, ballot.nonce);
      return { kind: 'abandoned' };
    }
    const { waiter } = grant;
    waiter.nodesLateSinceMs = isLate ? (waiter.nodesLateSinceMs ?? askedMs) : undefined;
    switch (ballot.kind) {
      case 'granted':
        return snapshot.from === 'nowhere'
          ? this.#grantUnstored(grant, ballot.nonce, ballot.validUntilMs, 'store_lost')
          : this.#arm(grant, ballot.nonce, ballot.validUntilMs, false);
      case 'held':
        return this.#refused(key, snapshot);
      case 'undecided':
        return { kind: 'undecided', by: 'votes' };
      case 'unavailable': {
        const policy = this.parts.policyOf(key.namespace);
        const does = doesWithoutQuorum(policy, waiter.nodesLateSinceMs, clock.nowMs());
        if (!does || !mayDoWithoutQuorum(snapshot, isLate, clock.nowMs(), this.parts.limits.silenceMs))
          return { kind: 'undecided', by: 'late_nodes' };
        // A new nonce, because the releases of the first may still be on their way.
        const nonce = mintNonce(chance, identity);
        const validUntilMs = askedMs + leaseMs - driftMs(leaseMs);
        return snapshot.from === 'nowhere'
          ? this.#grantUnstored(grant, nonce, validUntilMs, 'local')
          : this.#arm(grant, nonce, validUntilMs, true);
      }
    }
  }

  /** Hands a running lease out again, to a retry of the call that it was granted to. */
  async adopt(key: Key, snapshot: Snapshot, waiter: Candidate): Promise<Attempt> {
    const lease = snapshot.record.lease;
    if (lease === undefined) return { kind: 'undecided', by: 'lease_over' };
    if (snapshot.from === 'nowhere') {
      const held = this.shared.held.get(lease.nonce);
      if (held === undefined) return { kind: 'undecided', by: 'late_store' };
      held.owner += 1;
      const token: Token = { kind: held.kind, nonce: held.nonce, fence: held.fence, leaseMs: held.leaseMs };
      return {
        kind: 'granted',
        lease: this.#leaseOf({ token, owner: held.owner, untilMs: held.untilMs, reason: held.reason }),
        degraded: held.kind === 'local' ? 'local' : 'store_lost',
        snapshot: undefined,
      };
    }
    const token: Token = { kind: 'armed', nonce: lease.nonce, fence: lease.fence, leaseMs: lease.leaseMs };
    const owner = await this.#raiseOwner(key, lease.nonce);
    if (owner === undefined) return { kind: 'undecided', by: 'lease_over' };
    // Only the replica that granted it knows how long it really lasts. An extension proves it again.
    const extended = await this.shared.lifecycle
      .extendArmed(key, token, lease.leaseMs)
      .catch(undecidedIfUnavailable);
    if (extended === undefined || extended.outcome === 'lost') return { kind: 'undecided', by: 'lease_over' };
    const untilMs = this.parts.clock.nowMs() + extended.expiresInMs;
    if (waiter.gone) {
      await this.shared.lifecycle.endArmed(key, token, { end: 'cancelled', owner });
      return { kind: 'abandoned' };
    }
    const held = this.shared.held.get(lease.nonce);
    const givenAt = held?.givenAt ?? Number.NEGATIVE_INFINITY;
    const storedUntilMs = held === undefined && !extended.storeLost ? untilMs : held?.storedUntilMs;
    const given: Given = { token, owner, untilMs, storedUntilMs, reason: lease.reason, givenAt };
    this.#remember(key, waiter, given);
    return {
      kind: 'granted',
      lease: this.#leaseOf(given, this.#previousOf(snapshot, waiter)),
      degraded: extended.storeLost ? 'store_lost' : lease.quorumLost ? 'quorum_lost' : 'none',
      snapshot: undefined,
    };
  }

  /** The caller that the lease was for has gone. */
  async giveBack(key: Key, lease: Lease): Promise<void> {
    await this.shared.lifecycle.giveBack(key, lease, 'cancelled');
  }

  /** The owner number after the raise; undefined if the lease has ended or the store does not answer. */
  async #raiseOwner(key: Key, nonce: string): Promise<number | undefined> {
    try {
      const adopted = inPatience(this.parts, key.namespace, this.parts.store.adopt(key.id, nonce));
      return (await adopted)?.lease?.owner;
    } catch (error) {
      rethrowUnlessUnavailable(error);
      return undefined;
    }
  }

  async #arm(grant: Grant, nonce: string, validUntilMs: number, quorumLost: boolean): Promise<Attempt> {
    const { store, quorum, clock, limits } = this.parts;
    const { key, waiter, snapshot, leaseMs, reason } = grant;
    const beganMs = clock.nowMs();
    const { trace } = waiter.call;
    // Begins before the outcome is known, because the record links to it.
    const span = trace?.begin('lease', { reason });
    const arming = trace?.begin('arm');
    let reply: ArmReply;
    let sent = this.#now(grant);
    let isOver = false;
    const send = (tagClock: string) => {
      // No caller waits any more, and an arm that is sent now would stay armed.
      if (isOver) throw new StoreUnavailable('the tag clock came too late', { how: 'late' });
      sent = this.#now(grant);
      const leftMs = validUntilMs - sent.readAtMs;
      const group = quorum.groupOf(key.id).name;
      const toArm = { nonce, leftMs, quorumLost, group, tagClock, span };
      return store.arm(key.id, armRequestOf(grant, toArm, limits));
    };
    try {
      const tagClock = this.shared.keeper.forLease(key.namespace, snapshot.namespace?.clock ?? '');
      const arm = tagClock instanceof Promise ? tagClock.then(send) : send(tagClock);
      const armed = inPatience(this.parts, key.namespace, arm);
      reply = await (quorumLost ? armed : keepingLock(this.parts, { id: key.id, nonce, leaseMs }, armed));
      arming?.end({ armed: reply.armed, late: clock.nowMs() - beganMs >= limits.storeTimeoutMs });
    } catch (error) {
      isOver = true;
      arming?.end();
      // Something else has the name of the key.
      if (!(error instanceof StoreUnavailable)) void quorum.release(key.id, nonce);
      rethrowUnlessUnavailable(error);
      return this.#grantUnarmed(grant, nonce, validUntilMs, quorumLost, error);
    }
    if (!reply.armed) {
      await quorum.release(key.id, nonce);
      return unarmed(snapshot, reply.record);
    }
    const token: Token = { kind: 'armed', nonce, fence: reply.record.fence, leaseMs };
    const { lifecycle } = this.shared;
    const given: Armed = { grant, token, owner: 1, record: reply.record, span };
    const armed = waiter.gone ? await handOn({ store, lifecycle }, given) : given;
    if (armed === undefined) return { kind: 'abandoned' };
    const degraded = quorumLost ? 'quorum_lost' : 'none';
    return this.#give(armed, validUntilMs, degraded, snapshotOf(snapshot, armed.record, sent));
  }

  async #give(
    { grant, token, owner, span }: Armed,
    validUntilMs: number,
    degraded: Degraded,
    snapshot: Snapshot,
  ): Promise<Attempt> {
    const { key, waiter, reason, leaseMs } = grant;
    const leftMs = validUntilMs - this.parts.clock.nowMs();
    // From the first request to a lock node to the store's reply.
    this.shared.lateness.note(leaseMs - leftMs);
    const isLate = !waiter.gone && leftMs < leaseMs / 2;
    const { untilMs, storedUntilMs } = isLate
      ? await this.#extendLate(grant, token, validUntilMs)
      : { untilMs: validUntilMs, storedUntilMs: validUntilMs };
    if (waiter.gone || untilMs - this.parts.clock.nowMs() < 1) {
      await this.shared.lifecycle.endArmed(key, token, { end: 'cancelled', owner });
      return waiter.gone ? { kind: 'abandoned' } : { kind: 'undecided', by: 'lease_over' };
    }
    const given: Given = { token, owner, untilMs, storedUntilMs, reason };
    this.#remember(key, waiter, given, span);
    const lease = this.#leaseOf(given, this.#previousOf(snapshot, waiter));
    return { kind: 'granted', lease, degraded: untilMs > storedUntilMs ? 'store_lost' : degraded, snapshot };
  }

  /**
   * The end of a lease whose votes or arm were late. The lease is extended: a late store is no reason to drop it, and a
   * holder with almost no time left would lose it during its rebuild. The store has armed it until `validUntilMs`.
   */
  async #extendLate({ key, leaseMs }: Grant, token: Token, validUntilMs: number) {
    const { clock } = this.parts;
    const leftMs = validUntilMs - clock.nowMs();
    const extended = await this.shared.lifecycle
      .extendArmed(key, token, leaseMs)
      .catch(undecidedIfUnavailable);
    if (extended?.outcome !== 'extended')
      return { untilMs: leftMs < leaseMs / 4 ? 0 : validUntilMs, storedUntilMs: validUntilMs };
    const untilMs = clock.nowMs() + extended.expiresInMs;
    return { untilMs, storedUntilMs: extended.storeLost ? validUntilMs : untilMs };
  }

  #now(grant: Grant): Pick<Snapshot, 'readAtMs' | 'arrivals' | 'sentAt'> {
    const { count: sentAt } = this.shared.changes;
    return { readAtMs: this.parts.clock.nowMs(), arrivals: grant.arrivals(), sentAt };
  }

  /** The arm has no reply, but may have been applied. */
  #grantUnarmed(
    grant: Grant,
    nonce: string,
    validUntilMs: number,
    quorumLost: boolean,
    error: StoreUnavailable,
  ): Attempt {
    const { key, leaseMs } = grant;
    const policy = this.parts.policyOf(key.namespace);
    const mayGrant = isLost(error, policy) && (!quorumLost || error.how === 'gone');
    if (policy.onLoss !== 'fail' && mayGrant)
      return this.#grantUnstored(grant, nonce, validUntilMs, quorumLost ? 'local' : 'store_lost');
    // The caller does not wait for a store that is late.
    void this.shared.lifecycle.endUnstored(key, { kind: 'quorum', nonce, fence: 0, leaseMs }, 'cancelled');
    throwIfOnLossFails(policy, 'the value store');
    return { kind: 'undecided', by: 'late_store' };
  }

  #grantUnstored(
    asked: Grant,
    nonce: string,
    validUntilMs: number,
    degraded: 'store_lost' | 'local',
  ): Attempt {
    const { key, reason, leaseMs } = asked;
    const token: Token = { kind: degraded === 'local' ? 'local' : 'quorum', nonce, fence: 0, leaseMs };
    const grant = forWhoIsHere(asked);
    if (grant === undefined || validUntilMs - this.parts.clock.nowMs() < 1) {
      void this.shared.lifecycle.endUnstored(key, token, 'cancelled');
      return grant === undefined ? { kind: 'abandoned' } : { kind: 'undecided', by: 'lease_over' };
    }
    const { waiter } = grant;
    const span = waiter.call.trace?.begin('lease', { reason });
    const given: Given = { token, owner: 1, untilMs: validUntilMs, reason };
    this.#remember(key, waiter, given, span);
    return { kind: 'granted', lease: this.#leaseOf(given), degraded, snapshot: undefined };
  }

  /** A majority says held. That is an answer only if the record shows the holder. */
  async #refused(key: Key, snapshot: Snapshot): Promise<Attempt> {
    if (snapshot.from === 'nowhere') return { kind: 'held' };
    // The holder was voided by an invalidation, and the replica that should have released its lock may have died.
    const { voidedNonce } = snapshot.record;
    if (voidedNonce !== undefined) await this.parts.quorum.release(key.id, voidedNonce);
    return { kind: 'undecided', by: 'unknown_lock' };
  }

  #remember(key: Key, waiter: Candidate, given: Given, span?: Span): void {
    const sinceMs = this.parts.clock.nowMs();
    this.shared.held.add(heldOf(key, waiter, given, { sinceMs, count: this.shared.changes.count, span }));
  }

  #previousOf(snapshot: Snapshot, { staleAllowed }: Candidate): Hit | undefined {
    return staleAllowed ? hitOf(snapshot, this.parts.clock.nowMs(), true) : undefined;
  }

  #leaseOf(given: Given, previous?: Hit): Lease {
    return leaseOf(given, this.parts.clock.nowMs(), previous);
  }

  #leaseMsOf(key: Key, snapshot: Snapshot, waiter: Candidate): number {
    const { leaseMs } = waiter.request;
    if (leaseMs !== undefined) return leaseMs;
    const { policyOf, limits } = this.parts;
    const rebuild = snapshot.record.rebuild ?? snapshot.namespace?.rebuild;
    return unnamedLeaseMs(rebuild, limits.leaseMs, policyOf(key.namespace), this.shared.lateness.longestMs);
  }
}
