import type { Budget } from './budget.js';
import type { Changes } from './changes.js';
import type { Chance } from './clock.js';
import { hitOf } from './decide.js';
import { CoordinationError } from './errors.js';
import { learnedLeaseMs } from './forecast.js';
import type { HeldLeases } from './held-leases.js';
import type { Key } from './key.js';
import { clamp, driftMs } from './lease.js';
import type { Ballot } from './lease-quorum.js';
import type { LeasePorts, LeaseTerms } from './lease-terms.js';
import { failIfAsked, ignoreLoss } from './loss.js';
import type { Degraded, Lease, LeaseReason } from './outcome.js';
import type { KeyRecord } from './record.js';
import { decodeToken, encodeToken, mintNonce, type Token } from './token.js';
import type { Step, Trace } from './trace.js';
import type { ArmReply } from './value-store.js';
import type { View } from './view.js';
import type { Waiter } from './waiting-room.js';

/** What became of one attempt to get a lease. */
export type Attempt =
  | {
      readonly kind: 'granted';
      readonly lease: Lease;
      readonly degraded: Degraded;
      readonly view: View | undefined;
    }
  /** The store had something newer than the view: look again. */
  | { readonly kind: 'look_again' }
  /** The namespace's origin budget has no place for it now. */
  | { readonly kind: 'held_back' }
  /** Somebody holds it, and the lock nodes agree with the record. */
  | { readonly kind: 'held' }
  /** No winner: try again after a pause. */
  | { readonly kind: 'undecided' }
  /** The caller left while it was being asked for; nothing of the attempt is left. */
  | { readonly kind: 'abandoned' };

export interface DeskParts extends LeasePorts {
  readonly chance: Chance;
}

/** Gives leases and hands them out again: the two authorities, in their order. */
export class LeaseDesk {
  constructor(
    private readonly parts: DeskParts,
    private readonly held: HeldLeases,
    private readonly terms: LeaseTerms,
    private readonly budget: Budget,
    private readonly changes: Changes,
  ) {}

  /** One attempt for one caller, if the namespace's budget has a place for it. */
  async attempt(
    key: Key,
    view: View,
    waiter: Waiter,
    reason: LeaseReason,
    arrivals: () => number,
  ): Promise<Attempt> {
    const leaseMs = this.#leaseMsOf(key, view, waiter);
    const place = await this.budget.enter(key, leaseMs);
    if (place === undefined) return { kind: 'held_back' };
    const attempt = await this.#vote({ key, waiter, reason, leaseMs, view, arrivals });
    if (attempt.kind !== 'granted') void this.budget.leave(key.namespace, place);
    else {
      const { nonce = '' } = decodeToken(key, attempt.lease.token) ?? {};
      void this.budget.keep(key.namespace, place, nonce, leaseMs);
    }
    return attempt;
  }

  /** The quorum first, then the store, stepping down the ladder as parts are missing. */
  async #vote(grant: Grant): Promise<Attempt> {
    const { quorum, clock, chance } = this.parts;
    const { key, waiter, leaseMs, view } = grant;
    const { identity, trace } = waiter.call;
    const askedMs = clock.nowMs();
    const ballot = await this.#ask(key, mintNonce(chance, identity), leaseMs, trace);
    if (waiter.gone) {
      if (ballot.kind === 'granted') await quorum.release(key.id, ballot.nonce);
      return { kind: 'abandoned' };
    }
    switch (ballot.kind) {
      case 'granted':
        return view.from === 'nowhere'
          ? this.#grantUnstored(grant, ballot.nonce, ballot.validUntilMs, 'store_lost')
          : this.#arm(grant, ballot.nonce, ballot.validUntilMs, false);
      case 'held':
        return this.#refused(key, view);
      case 'undecided':
        return { kind: 'undecided' };
      case 'lost': {
        failIfAsked(this.parts.policyOf(key.namespace), 'the lock nodes');
        // Another one: the releases of the first may still be on their way.
        const nonce = mintNonce(chance, identity);
        const validUntilMs = askedMs + leaseMs - driftMs(leaseMs);
        return view.from === 'nowhere'
          ? this.#grantUnstored(grant, nonce, validUntilMs, 'local')
          : this.#arm(grant, nonce, validUntilMs, true);
      }
    }
  }

  async #ask(key: Key, nonce: string, leaseMs: number, trace: Trace | undefined): Promise<Ballot> {
    const { quorum } = this.parts;
    if (trace === undefined) return quorum.acquire(key.id, nonce, leaseMs);
    const step = trace.begin('acquire');
    const ballot = await quorum.acquire(key.id, nonce, leaseMs, (node, vote, tookMs) =>
      step.part('vote', tookMs, { node, vote }),
    );
    step.end({ ballot: ballot.kind });
    return ballot;
  }

  /** Hands a running lease out once more, to a retry of the call that it was given to. */
  async adopt(key: Key, view: View, waiter: Waiter): Promise<Attempt> {
    const lease = view.record.lease;
    if (lease === undefined) return { kind: 'undecided' };
    if (view.from === 'nowhere') {
      const held = this.held.get(lease.nonce);
      if (held === undefined) return { kind: 'undecided' };
      held.owner += 1;
      const { kind, nonce, fence, leaseMs } = held;
      const token: Token = { kind, nonce, fence, leaseMs };
      return {
        kind: 'granted',
        lease: this.#leaseOf(key, token, held.owner, held.untilMs, held.reason),
        degraded: held.kind === 'local' ? 'local' : 'store_lost',
        view: undefined,
      };
    }
    const token: Token = { kind: 'armed', nonce: lease.nonce, fence: lease.fence, leaseMs: lease.leaseMs };
    const owner = await this.#raiseOwner(key, lease.nonce);
    if (owner === undefined) return { kind: 'undecided' };
    // How long it really lasts is known only to whoever took it: an extension proves it anew.
    const extended = await this.terms.extendArmed(key, token, lease.leaseMs).catch(undecidedIfUnavailable);
    if (extended === undefined || extended.outcome === 'lost') return { kind: 'undecided' };
    const untilMs = this.parts.clock.nowMs() + extended.expiresInMs;
    if (waiter.gone) {
      await this.terms.endArmed(key, token, 'cancelled', owner);
      return { kind: 'abandoned' };
    }
    this.#remember(key, waiter, token, untilMs, lease.reason, owner);
    return {
      kind: 'granted',
      lease: this.#leaseOf(key, token, owner, untilMs, lease.reason, view, waiter),
      degraded: extended.byQuorumAlone ? 'store_lost' : lease.byStoreAlone ? 'quorum_lost' : 'none',
      view: undefined,
    };
  }

  /** Nobody is there to take the lease any more. */
  async giveBack(key: Key, lease: Lease): Promise<void> {
    await this.terms.giveBack(key, lease, 'cancelled');
  }

  /** The owner number after the raise; undefined if the lease is over or the store does not answer. */
  async #raiseOwner(key: Key, nonce: string): Promise<number | undefined> {
    try {
      return (await this.parts.store.adopt(key.id, nonce))?.lease?.owner;
    } catch (error) {
      ignoreLoss(error);
      return undefined;
    }
  }

  async #arm(grant: Grant, nonce: string, validUntilMs: number, byStoreAlone: boolean): Promise<Attempt> {
    const { store, quorum, clock, limits } = this.parts;
    const { key, waiter, view, leaseMs, reason } = grant;
    const sentMs = clock.nowMs();
    const sent = { readAtMs: sentMs, arrivals: grant.arrivals(), sentAt: this.changes.count };
    const { trace } = waiter.call;
    // Begun before it is known whether there will be a lease, for the record says how to find it.
    const span = trace?.begin('lease', { reason });
    const arming = trace?.begin('arm');
    let reply: ArmReply;
    try {
      reply = await store.arm(key.id, {
        nonce,
        expiresInMs: Math.max(1, Math.ceil(validUntilMs - sentMs)),
        leaseMs,
        fenceRead: view.record.fence,
        valueFenceRead: view.record.valueFence,
        byStoreAlone,
        holder: waiter.request.holder,
        traceparent: span?.traceparent ?? waiter.call.traceparent,
        requestKey: waiter.requestKey,
        reason,
        clock: view.namespace?.clock ?? '',
        keepMs: limits.leaseMsMax,
      });
      arming?.end({ armed: reply.armed });
    } catch (error) {
      arming?.end();
      ignoreLoss(error);
      if (this.parts.policyOf(key.namespace).onLoss === 'fail') {
        await this.terms.endUnstored(key, { kind: 'quorum', nonce, fence: 0, leaseMs }, 'cancelled');
      }
      failIfAsked(this.parts.policyOf(key.namespace), 'the value store');
      return this.#grantUnstored(grant, nonce, validUntilMs, byStoreAlone ? 'local' : 'store_lost');
    }
    if (!reply.armed) {
      await quorum.release(key.id, nonce);
      return { kind: 'look_again' };
    }
    const token: Token = { kind: 'armed', nonce, fence: reply.record.fence, leaseMs };
    if (waiter.gone || validUntilMs - clock.nowMs() < 1) {
      await this.terms.endArmed(key, token, 'cancelled', 1);
      return { kind: waiter.gone ? 'abandoned' : 'undecided' };
    }
    this.#remember(key, waiter, token, validUntilMs, reason, 1, span);
    const armedView = armed(view, reply.record, sent);
    return {
      kind: 'granted',
      lease: this.#leaseOf(key, token, 1, validUntilMs, reason, armedView, waiter),
      degraded: byStoreAlone ? 'quorum_lost' : 'none',
      view: armedView,
    };
  }

  #grantUnstored(
    grant: Grant,
    nonce: string,
    validUntilMs: number,
    degraded: 'store_lost' | 'local',
  ): Attempt {
    const { key, waiter, reason, leaseMs } = grant;
    const token: Token = { kind: degraded === 'local' ? 'local' : 'quorum', nonce, fence: 0, leaseMs };
    if (waiter.gone || validUntilMs - this.parts.clock.nowMs() < 1) {
      void this.terms.endUnstored(key, token, 'cancelled');
      return { kind: waiter.gone ? 'abandoned' : 'undecided' };
    }
    const span = waiter.call.trace?.begin('lease', { reason });
    this.#remember(key, waiter, token, validUntilMs, reason, 1, span);
    return {
      kind: 'granted',
      lease: this.#leaseOf(key, token, 1, validUntilMs, reason),
      degraded,
      view: undefined,
    };
  }

  /** A majority says held. That is an answer only where the record shows for whom. */
  async #refused(key: Key, view: View): Promise<Attempt> {
    if (view.from === 'nowhere') return { kind: 'held' };
    // The holder was voided by an invalidation, and whoever should have broken its lock may have died.
    if (view.record.voidedNonce !== undefined)
      await this.parts.quorum.release(key.id, view.record.voidedNonce);
    return { kind: 'undecided' };
  }

  #remember(
    key: Key,
    waiter: Waiter,
    token: Token,
    untilMs: number,
    reason: LeaseReason,
    owner: number,
    span?: Step,
  ): void {
    this.held.add({
      key,
      nonce: token.nonce,
      kind: token.kind,
      fence: token.fence,
      sinceMs: this.parts.clock.nowMs(),
      givenAt: this.changes.count,
      leaseMs: token.leaseMs,
      holder: waiter.request.holder,
      traceparent: span?.traceparent ?? waiter.call.traceparent,
      requestKey: waiter.requestKey,
      reason,
      untilMs,
      owner,
      ...(span === undefined ? {} : { span }),
    });
  }

  #leaseOf(
    key: Key,
    token: Token,
    owner: number,
    untilMs: number,
    reason: LeaseReason,
    view?: View,
    waiter?: Waiter,
  ): Lease {
    const nowMs = this.parts.clock.nowMs();
    const previous =
      view === undefined || waiter?.staleAllowed !== true ? undefined : hitOf(view, nowMs, true);
    return {
      kind: 'lease',
      token: encodeToken(key, token),
      fence: token.fence,
      expiresInMs: Math.max(1, Math.floor(untilMs - nowMs)),
      reason,
      owner,
      ...(previous === undefined ? {} : { previous }),
    };
  }

  #leaseMsOf(key: Key, view: View, waiter: Waiter): number {
    const { leaseMs } = waiter.request;
    if (leaseMs !== undefined) return leaseMs;
    const policy = this.parts.policyOf(key.namespace);
    const rebuild = view.record.rebuild ?? view.namespace?.rebuild;
    return rebuild === undefined
      ? clamp(this.parts.limits.leaseMs, policy.leaseMsMin, policy.leaseMsMax)
      : learnedLeaseMs(rebuild, policy);
  }
}

interface Grant {
  readonly key: Key;
  readonly waiter: Waiter;
  readonly reason: LeaseReason;
  readonly leaseMs: number;
  readonly view: View;
  readonly arrivals: () => number;
}

/**
 * The record as it was armed. What counts of its value is known from the look: it is the same value, for
 * another one, or a mark on it, would have kept the lease from being armed.
 */
function armed(looked: View, record: KeyRecord, sent: Pick<View, 'readAtMs' | 'arrivals' | 'sentAt'>): View {
  const { value: _uncounted, ...rest } = record;
  const { value } = looked.record;
  const ageMs = sent.readAtMs - looked.readAtMs;
  const aged = value && {
    ...value,
    freshForMs: Math.max(0, value.freshForMs - ageMs),
    servableForMs: value.servableForMs - ageMs,
    ageMs: value.ageMs + ageMs,
  };
  const { namespace } = looked;
  if (aged === undefined || aged.servableForMs <= 0)
    return { ...sent, record: rest, from: 'store', namespace };
  // A tag may have been invalidated between the look and the arm: to whoever came since, it is no look of theirs.
  const { arrivals, sentAt } = looked;
  return { ...sent, arrivals, sentAt, record: { ...rest, value: aged }, from: 'store', namespace };
}

/** For an adoption it is no error that nobody can decide now: the retry goes on waiting. */
function undecidedIfUnavailable(error: unknown): undefined {
  if (!(error instanceof CoordinationError)) throw error;
}
