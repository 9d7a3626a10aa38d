import type { Ballot, LeaseQuorum, LockGroup } from '../ports/lease-quorum.js';
import type { NamespaceStore } from '../ports/namespace-store.js';
import type { Observer, StoreStep } from '../ports/observer.js';
import { StoreUnavailable, type ValueStore } from '../ports/value-store.js';
import { DEGRADATIONS, type Degraded } from '../words/outcome.js';
import type { Lateness, Owed } from './lateness.js';

/** What the last ballot of a group of lock nodes said. */
interface GroupState {
  answers: boolean;
  /** The missing lock nodes may only be slow, so the mode does not become `local`. */
  isLate: boolean;
}

/**
 * Tracks which of the two authorities answered last, by watching the calls that need them. Each group of lock nodes
 * counts for its own keys. Reports the first mode, and then each change, once.
 */
export class Degradation {
  readonly #groups = new Map<LockGroup, GroupState>();
  #storeAnswers = true;
  #isKnown = false;

  constructor(
    private readonly observer: Pick<Observer, 'degraded' | 'storeStep'>,
    private readonly lateness: Pick<Lateness, 'begin' | 'end'>,
    private readonly quorum: Pick<LeaseQuorum, 'groupOf'>,
  ) {}

  /** The mode of a miss now, for the keys with the worst mode. */
  get mode(): Degraded {
    let worst = this.#modeBy(undefined);
    for (const state of this.#groups.values()) {
      const mode = this.#modeBy(state);
      if (DEGRADATIONS.indexOf(mode) > DEGRADATIONS.indexOf(worst)) worst = mode;
    }
    return worst;
  }

  /** The mode of a miss now, for this key. */
  modeOf(id: string): Degraded {
    return this.#modeBy(this.#groups.get(this.quorum.groupOf(id)));
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
    const noted = (id: string, ballot: Ballot): Ballot => {
      this.#noteBallot(quorum.groupOf(id), ballot);
      return ballot;
    };
    return {
      groupOf: (id) => quorum.groupOf(id),
      acquire: (id, nonce, leaseMs, heard) =>
        quorum.acquire(id, nonce, leaseMs, heard).then((ballot) => noted(id, ballot)),
      extend: (id, nonce, leaseMs) => quorum.extend(id, nonce, leaseMs).then((ballot) => noted(id, ballot)),
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
        this.#noteStore(true);
        this.observer.storeStep(step, 'done');
        over();
        return got;
      },
      (error) => {
        if (error instanceof StoreUnavailable) {
          // A late reply is not a loss.
          if (error.how !== 'late') this.#noteStore(false);
          this.observer.storeStep(step, error.how === 'late' ? 'late' : 'failed');
        }
        over();
        throw error;
      },
    );
  }

  #modeBy(group: GroupState | undefined): Degraded {
    const answers = group?.answers ?? true;
    if (this.#storeAnswers) return answers ? 'none' : 'quorum_lost';
    return answers || group?.isLate === true ? 'store_lost' : 'local';
  }

  #noteStore(answers: boolean): void {
    if (this.#storeAnswers === answers && this.#isKnown) return;
    const before = this.mode;
    this.#storeAnswers = answers;
    if (this.mode !== before || !this.#isKnown) this.#tell();
  }

  #noteBallot(group: LockGroup, ballot: Ballot): void {
    const answers = ballot.kind !== 'unavailable';
    const isLate = ballot.kind === 'unavailable' && ballot.late === true;
    const state = this.#groups.get(group);
    if (state?.answers === answers && state.isLate === isLate && this.#isKnown) return;
    const before = this.mode;
    this.#groups.set(group, { answers, isLate });
    const isStep = group.label !== '' && answers !== (state?.answers ?? true);
    if (isStep || this.mode !== before || !this.#isKnown) this.#tell();
  }

  #tell(): void {
    this.#isKnown = true;
    const lost = [...this.#groups].filter(([, { answers }]) => !answers).map(([{ label }]) => label);
    this.observer.degraded(this.mode, lost.filter((label) => label !== '').sort());
  }
}
