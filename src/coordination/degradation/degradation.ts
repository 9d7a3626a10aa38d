import type { Ballot, LeaseQuorum } from '../ports/lease-quorum.js';
import type { NamespaceStore } from '../ports/namespace-store.js';
import type { Observer, StoreStep } from '../ports/observer.js';
import { StoreUnavailable, type ValueStore } from '../ports/value-store.js';
import type { Degraded } from '../words/outcome.js';
import type { Lateness, Owed } from './lateness.js';

/**
 * Tracks which of the two authorities answered last, by watching the calls that need them. Reports the first mode, and
 * then each change, once.
 */
export class Degradation {
  #quorumAnswers = true;
  #storeAnswers = true;
  /** The missing lock nodes may only be slow, so the mode does not become `local`. */
  #quorumIsLate = false;
  #isKnown = false;

  constructor(
    private readonly observer: Pick<Observer, 'degraded' | 'storeStep'>,
    private readonly lateness: Pick<Lateness, 'begin' | 'end'>,
  ) {}

  /** The mode of a miss now. */
  get mode(): Degraded {
    if (this.#storeAnswers) return this.#quorumAnswers ? 'none' : 'quorum_lost';
    return this.#quorumAnswers || this.#quorumIsLate ? 'store_lost' : 'local';
  }

  /** The same for a hit. A hit asks no lock node, so missing lock nodes do not matter. */
  get modeOfHit(): Degraded {
    return this.#storeAnswers ? 'none' : 'store_lost';
  }

  /** The same store. Records every reply and every loss. */
  watchedStore(store: ValueStore): ValueStore {
    return {
      read: (id, request) =>
        this.#notedOnceSent('read', request?.sent, (sent) => store.read(id, { known: request?.known, sent })),
      arm: (id, request) => this.#noted('arm', store.arm(id, request)),
      adopt: (id, nonce, to) => this.#noted('adopt', store.adopt(id, nonce, to)),
      publish: (id, request) =>
        this.#notedOnceSent('publish', request.sent, (sent) => store.publish(id, { ...request, sent })),
      release: (id, request) => this.#noted('release', store.release(id, request)),
      extend: (id, request) => this.#noted('extend', store.extend(id, request)),
      invalidate: (id, request) => this.#noted('invalidate', store.invalidate(id, request)),
      explain: (id) => this.#noted('explain', store.explain(id)),
    };
  }

  /** The same namespaces. Records every reply and every failed read. */
  watchedNamespaces(namespaces: NamespaceStore): NamespaceStore {
    return {
      read: (namespace, tags, rebuildMs) => this.#noted('tags', namespaces.read(namespace, tags, rebuildMs)),
      begin: (namespace, keepMs) => this.#noted('clock', namespaces.begin(namespace, keepMs)),
      invalidate: (namespace, request) =>
        this.#noted('invalidate', namespaces.invalidate(namespace, request)),
      enter: (namespace, request) => this.#noted('slot', namespaces.enter(namespace, request)),
      keep: (namespace, slot, as, ttlMs) => namespaces.keep(namespace, slot, as, ttlMs),
      leave: (namespace, slot) => namespaces.leave(namespace, slot),
    };
  }

  /** The same quorum. Records every ballot. */
  watchedQuorum(quorum: LeaseQuorum): LeaseQuorum {
    const noted = (ballot: Ballot): Ballot => {
      const isLate = ballot.kind === 'unavailable' && ballot.late === true;
      this.#note(ballot.kind !== 'unavailable', this.#storeAnswers, isLate);
      return ballot;
    };
    return {
      acquire: (id, nonce, leaseMs, heard) => quorum.acquire(id, nonce, leaseMs, heard).then(noted),
      extend: (id, nonce, leaseMs) => quorum.extend(id, nonce, leaseMs).then(noted),
      release: (id, nonce) => quorum.release(id, nonce),
    };
  }

  /** A step with a value may wait for its turn. The store owes its reply only once it is sent. */
  #notedOnceSent<T>(
    step: StoreStep,
    sent: (() => void) | undefined,
    send: (sent: () => void) => Promise<T>,
  ): Promise<T> {
    const owing: { owed?: Owed } = {};
    const reply = send(() => {
      owing.owed = this.lateness.begin();
      sent?.();
    });
    return this.#noted(step, reply, owing);
  }

  #noted<T>(
    step: StoreStep,
    reply: Promise<T>,
    owing: { owed?: Owed } = { owed: this.lateness.begin() },
  ): Promise<T> {
    const over = () => {
      if (owing.owed !== undefined) this.lateness.end(owing.owed);
    };
    return reply.then(
      (got) => {
        this.#note(this.#quorumAnswers, true);
        this.observer.storeStep(step, 'done');
        over();
        return got;
      },
      (error) => {
        if (error instanceof StoreUnavailable) {
          // A late reply is not a loss.
          if (error.how !== 'late') this.#note(this.#quorumAnswers, false);
          this.observer.storeStep(step, error.how === 'late' ? 'late' : 'failed');
        }
        over();
        throw error;
      },
    );
  }

  #note(quorumAnswers: boolean, storeAnswers: boolean, quorumIsLate = this.#quorumIsLate): void {
    const before = this.mode;
    this.#quorumAnswers = quorumAnswers;
    this.#quorumIsLate = quorumIsLate;
    this.#storeAnswers = storeAnswers;
    if (this.mode === before && this.#isKnown) return;
    this.#isKnown = true;
    this.observer.degraded(this.mode);
  }
}
