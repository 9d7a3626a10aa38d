import type { Ballot, LeaseQuorum } from '../ports/lease-quorum.js';
import type { NamespaceStore } from '../ports/namespace-store.js';
import type { Observer } from '../ports/observer.js';
import { StoreUnavailable, type ValueStore } from '../ports/value-store.js';
import type { Degraded } from '../words/outcome.js';
import type { Lateness, Owed } from './lateness.js';

/**
 * Which of the two authorities answered last, as seen on the way of the calls
 * that need them. Each step, down and back up, is reported once.
 */
export class Degradation {
  #quorumAnswers = true;
  #storeAnswers = true;
  /** The lock nodes that are missing may only be slow, so no rung without any authority follows from it. */
  #quorumIsLate = false;

  constructor(
    private readonly observer: Pick<Observer, 'degraded'>,
    private readonly lateness: Pick<Lateness, 'begin' | 'end'>,
  ) {}

  /** The rung of a miss now. */
  get mode(): Degraded {
    if (this.#storeAnswers) return this.#quorumAnswers ? 'none' : 'quorum_lost';
    return this.#quorumAnswers || this.#quorumIsLate ? 'store_lost' : 'local';
  }

  /** The same for a hit, which no lock node is asked for: that they were missing once says nothing of it. */
  get modeOfHit(): Degraded {
    return this.#storeAnswers ? 'none' : 'store_lost';
  }

  /** The same store, with every reply and every loss noted. */
  watchedStore(store: ValueStore): ValueStore {
    const noted = <T>(reply: Promise<T>) => this.#noted(reply);
    return {
      read: (id, request) =>
        this.#notedOnceSent(request?.sent, (sent) => store.read(id, { ...request, sent })),
      arm: (id, request) => noted(store.arm(id, request)),
      adopt: (id, nonce) => noted(store.adopt(id, nonce)),
      publish: (id, request) =>
        this.#notedOnceSent(request.sent, (sent) => store.publish(id, { ...request, sent })),
      release: (id, request) => noted(store.release(id, request)),
      extend: (id, request) => noted(store.extend(id, request)),
      invalidate: (id, request) => noted(store.invalidate(id, request)),
      explain: (id) => noted(store.explain(id)),
    };
  }

  /** The same namespaces, with every reply and every failed read noted. */
  watchedNamespaces(namespaces: NamespaceStore): NamespaceStore {
    return {
      read: (namespace, tags, rebuildMs) => this.#noted(namespaces.read(namespace, tags, rebuildMs)),
      begin: (namespace, keepMs) => this.#noted(namespaces.begin(namespace, keepMs)),
      invalidate: (namespace, request) => this.#noted(namespaces.invalidate(namespace, request)),
      enter: (namespace, request) => this.#noted(namespaces.enter(namespace, request)),
      keep: (namespace, slot, as, ttlMs) => namespaces.keep(namespace, slot, as, ttlMs),
      leave: (namespace, slot) => namespaces.leave(namespace, slot),
    };
  }

  /** The same quorum, with every ballot noted. */
  watchedQuorum(quorum: LeaseQuorum): LeaseQuorum {
    const noted = (ballot: Ballot): Ballot => {
      const isLate = ballot.kind === 'unavailable' && ballot.late === true;
      this.#note(ballot.kind !== 'unavailable', this.#storeAnswers, isLate);
      return ballot;
    };
    return {
      acquire: async (id, nonce, leaseMs, heard) => noted(await quorum.acquire(id, nonce, leaseMs, heard)),
      extend: async (id, nonce, leaseMs) => noted(await quorum.extend(id, nonce, leaseMs)),
      release: (id, nonce) => quorum.release(id, nonce),
    };
  }

  /** What carries a value may wait for its turn: the store owes a reply from when it is sent. */
  #notedOnceSent<T>(sent: (() => void) | undefined, send: (sent: () => void) => Promise<T>): Promise<T> {
    const owing: { owed?: Owed } = {};
    const reply = send(() => {
      owing.owed = this.lateness.begin();
      sent?.();
    });
    return this.#noted(reply, owing);
  }

  async #noted<T>(reply: Promise<T>, owing: { owed?: Owed } = { owed: this.lateness.begin() }): Promise<T> {
    try {
      const got = await reply;
      this.#note(this.#quorumAnswers, true);
      return got;
    } catch (error) {
      // One that is only late is not lost.
      if (error instanceof StoreUnavailable && error.how !== 'late') this.#note(this.#quorumAnswers, false);
      throw error;
    } finally {
      if (owing.owed !== undefined) this.lateness.end(owing.owed);
    }
  }

  #note(quorumAnswers: boolean, storeAnswers: boolean, quorumIsLate = this.#quorumIsLate): void {
    const before = this.mode;
    this.#quorumAnswers = quorumAnswers;
    this.#quorumIsLate = quorumIsLate;
    this.#storeAnswers = storeAnswers;
    if (this.mode !== before) this.observer.degraded(this.mode);
  }
}
