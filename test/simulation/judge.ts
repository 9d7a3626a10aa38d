import type { NamespaceInvalidate } from '../../src/coordination/ports/namespace-store.js';
import type {
  ArmReply,
  ArmRequest,
  StoreExtend,
  StoreExtended,
  StorePublish,
} from '../../src/coordination/ports/value-store.js';
import { keyFromId } from '../../src/coordination/words/key.js';
import type { Degraded, Hit, Lease } from '../../src/coordination/words/outcome.js';
import type { MemoryRecord } from '../../src/memory/memory-record.js';
import { type Change, OldValues, type Place, type Shown } from './old-values.js';
import type { StoreStep } from './sim-store.js';

/** A broken invariant of the design's section 7. */
export interface Violation {
  readonly invariant: string;
  readonly what: string;
}

/** One lease, from its arm to its end. */
interface KnownLease {
  readonly id: string;
  readonly nonce: string;
  readonly armedAt: number;
  readonly armedMs: number;
  /** It was armed without a tag clock, so its value may count as invalidated. */
  readonly hasNoClock: boolean;
  /** The tags of the value that it stored. */
  tags: readonly string[];
  stored: boolean;
  /** It has ended at the store, or its holder has given it up. */
  over: boolean;
  /** How long its holder may rely on it, in true time; undefined before it was answered. */
  untilMs: number | undefined;
  /** It was granted and last extended with the store, so it excludes every other lease. */
  exclusive: boolean;
  /** It was armed without the quorum, so only the store excludes other leases. */
  quorumLost: boolean;
}

interface Invalidation {
  readonly mode: 'delete' | 'mark_stale';
  readonly appliedAt: number;
  /** When its caller received the answer; undefined until then. */
  returnedAt: number | undefined;
}

interface Stamping extends Invalidation {
  readonly request: NamespaceInvalidate;
  readonly atMs: number;
}

type Maybe = MemoryRecord | undefined;

/** How long before its arm the tag clock of a lease may have been read: the read, the votes and the arm. */
const CLOCK_READ_MS_MAX = 2_000;

/** A value may expire up to a millisecond early, and a read is a few milliseconds older than its arm. */
const FRESH_MARGIN_MS = 2;

/**
 * Watches a world from outside, where true time and true order are known, and checks the invariants INV-1 to INV-9 and
 * INV-15 of the design. Of what the service says, it uses only the answers.
 */
export class Judge {
  readonly violations: Violation[] = [];
  /** Whether the store kept all that it acknowledged. If not, only INV-1, INV-2 and liveness are judged. */
  storeKept = true;
  /** When the store's clock last jumped, in the order of all events. It then excludes no lease by itself. */
  storeJumped = { at: 0, ms: Number.NEGATIVE_INFINITY };
  /** When the store last lost just the record of a key. Then only the quorum excludes a second lease. */
  readonly #recordLostAt = new Map<string, number>();
  /** A node's clock has jumped, or replicas differ in their groups: the quorum excludes no lease by itself. */
  quorumIsWeak = false;
  /** How much older than its arm a read may be, in addition to the usual time. */
  storeSlowMs = 0;
  readonly counts = { leases: 0, stored: 0, late: 0, refused: 0, hits: 0, degraded: 0 };
  /** Judges INV-15. */
  readonly oldValues: OldValues;
  #order = 0;
  readonly #leases = new Map<string, KnownLease>();
  readonly #armed = new Map<string, string>();
  readonly #fences = new Map<string, number>();
  readonly #invalidations = new Map<string, Invalidation[]>();
  readonly #stampings = new Map<string, Stamping[]>();

  constructor(
    private readonly nowMs: () => number,
    private readonly storeNowMs: () => number,
  ) {
    this.oldValues = new OldValues(() => this.now(), nowMs);
  }

  /** The next position in the order of all events. */
  now(): number {
    this.#order += 1;
    return this.#order;
  }

  violated(invariant: string, what: string): void {
    this.violations.push({ invariant, what: `at ${this.nowMs().toFixed(1)} ms: ${what}` });
  }

  storeLost(): void {
    this.storeKept = false;
    this.#armed.clear();
  }

  /** The store lost one record. */
  recordLost(id: string): void {
    this.#recordLostAt.set(id, this.now());
    this.#armed.delete(id);
  }

  /** Whether the store no longer excludes other leases, because its clock jumped or it lost the record. */
  #isForgotten({ id, armedAt }: KnownLease): boolean {
    return this.storeJumped.at > armedAt || (this.#recordLostAt.get(id) ?? 0) > armedAt;
  }

  // ——— at the store ———

  /** Judges one step of the store. Returns the change that it makes, if any. */
  stepped(
    step: StoreStep,
    id: string,
    before: Maybe,
    after: Maybe,
    request: never,
    reply: never,
  ): Change | undefined {
    const { nonce, mode } = (request ?? {}) as { nonce: string; mode: 'delete' | 'mark_stale' };
    if (step === 'arm') this.armed(id, before, request as ArmRequest, reply as ArmReply);
    else if (step === 'release') this.released(id, nonce, reply);
    else if (step === 'extend') this.extended(id, request as StoreExtend, reply);
    else if (step === 'publish') {
      return this.published(id, request as StorePublish, (reply as { outcome: string }).outcome);
    } else if (step === 'invalidate') {
      this.invalidated(id, mode);
      return this.oldValues.invalidated(id, mode, after?.failure === undefined);
    }
    return undefined;
  }

  armed(id: string, before: Maybe, request: ArmRequest, reply: ArmReply): void {
    if (!reply.armed || before?.lease?.nonce === request.nonce) return;
    const [{ nonce }, { fence }] = [request, reply.record];
    const highest = this.#fences.get(id) ?? 0;
    if (fence <= highest) this.violated('INV-1', `${id}: fence ${fence} after ${highest}`);
    this.#fences.set(id, Math.max(fence, highest));
    this.oldValues.given(id, nonce);
    const freshMs = (before?.value?.freshUntilMs ?? 0) - this.storeNowMs();
    const asked = request.reason === 'refresh' || request.reason === 'early_refresh';
    const isDue = this.storeKept && !asked && !this.mayNotCount(id, before?.done);
    if (isDue && freshMs > FRESH_MARGIN_MS + this.storeSlowMs) {
      this.violated('INV-7', `${id}: a lease for ${request.reason} over a value fresh for ${freshMs} ms`);
    }
    this.#armed.set(id, nonce);
    this.#leases.set(nonce, {
      id,
      nonce,
      armedAt: this.now(),
      armedMs: this.nowMs(),
      hasNoClock: request.clock === '',
      tags: [],
      stored: false,
      over: false,
      untilMs: undefined,
      exclusive: true,
      quorumLost: request.quorumLost,
    });
  }

  published(id: string, publish: StorePublish, outcome: string): Change | undefined {
    const { nonce } = publish;
    if (outcome !== 'stored' && outcome !== 'stored_late') {
      this.counts.refused += 1;
      return undefined;
    }
    this.counts[outcome === 'stored' ? 'stored' : 'late'] += 1;
    const lease = this.#leases.get(nonce);
    if (this.#armed.get(id) !== nonce || lease === undefined) {
      this.violated('INV-2', `${id}: stored for ${nonce} while ${this.#armed.get(id)} was armed`);
      return undefined;
    }
    if (lease.stored) this.violated('INV-2', `${id}: stored twice for ${nonce}`);
    for (const { appliedAt } of this.#invalidations.get(id) ?? []) {
      if (this.storeKept && appliedAt > lease.armedAt) {
        this.violated('INV-3', `${id}: stored for a lease from before an invalidation`);
      }
    }
    lease.stored = true;
    lease.tags = publish.tags;
    this.#end(id, nonce);
    return this.oldValues.published(id, publish);
  }

  /** Whether the tag clock may have moved on, or ended with a jump of the store's clock, after its lease read it. */
  mayNotCount(id: string, valueNonce: string | undefined): boolean {
    const made = this.#leases.get(valueNonce ?? '');
    const readMs = (made?.armedMs ?? 0) - CLOCK_READ_MS_MAX;
    if (made === undefined || made.hasNoClock || this.storeJumped.ms > readMs) return made !== undefined;
    return (this.#stampings.get(keyFromId(id).namespace) ?? []).some(
      ({ atMs, request }) => atMs > readMs && concerns(request, made.tags),
    );
  }

  stamped(namespace: string, request: NamespaceInvalidate): Change {
    const all = this.#stampings.get(namespace) ?? [];
    const { mode } = request;
    all.push({ request, mode, appliedAt: this.now(), atMs: this.nowMs(), returnedAt: undefined });
    this.#stampings.set(namespace, all);
    return this.oldValues.stamped(namespace, request);
  }

  /** `request` is the same object as in {@link stamped}. */
  stampingReturned(namespace: string, request: NamespaceInvalidate): void {
    for (const stamping of this.#stampings.get(namespace) ?? []) {
      if (stamping.request === request) stamping.returnedAt ??= this.now();
    }
  }

  released(id: string, nonce: string, outcome: string): void {
    if (outcome !== 'released') return;
    if (this.#armed.get(id) !== nonce) {
      this.violated('INV-6', `${id}: released ${this.#armed.get(id)} for ${nonce}`);
    }
    this.#end(id, nonce);
  }

  extended(id: string, { nonce, quorumLost }: StoreExtend, { extended }: StoreExtended): void {
    const known = this.#leases.get(nonce);
    if (known !== undefined) {
      // A clock that jumped may have expired the record. Then the service itself reports the lease as lost.
      if (!extended && this.#isForgotten(known)) known.over = true;
      if (extended) known.quorumLost = quorumLost;
    }
    if (extended && this.#armed.get(id) !== nonce) {
      this.violated('INV-6', `${id}: extended ${this.#armed.get(id)} for ${nonce}`);
    }
  }

  invalidated(id: string, mode: 'delete' | 'mark_stale'): void {
    const nonce = this.#armed.get(id);
    if (nonce !== undefined) this.#end(id, nonce);
    const all = this.#invalidations.get(id) ?? [];
    all.push({ mode, appliedAt: this.now(), returnedAt: undefined });
    this.#invalidations.set(id, all);
  }

  invalidationReturned(id: string, sentAt: number): void {
    for (const invalidation of this.#invalidations.get(id) ?? []) {
      if (invalidation.appliedAt > sentAt) invalidation.returnedAt ??= this.now();
    }
  }

  // ——— at the replicas ———

  leaseAnswered(id: string, nonce: string, lease: Lease, degraded: Degraded): void {
    this.counts.leases += 1;
    if (degraded !== 'none') this.counts.degraded += 1;
    this.oldValues.held(id, nonce, degraded);
    if (!(lease.expiresInMs > 0)) this.violated('INV-4', `${id}: a lease with ${lease.expiresInMs} ms left`);
    const known = this.#leases.get(nonce);
    if (known === undefined) return;
    if (degraded !== 'none' && degraded !== 'quorum_lost') {
      known.exclusive = false;
      return;
    }
    const nowMs = this.nowMs();
    if (this.storeKept && known.exclusive && !known.over) {
      for (const other of this.#leases.values()) {
        if (other.id !== id || other === known || other.over || !other.exclusive) continue;
        if (other.untilMs === undefined || other.untilMs <= nowMs) continue;
        const isForgotten = this.#isForgotten(other) || this.#isForgotten(known);
        if (isForgotten && (this.quorumIsWeak || other.quorumLost || known.quorumLost)) continue;
        this.violated(
          'INV-4',
          `${id}: ${nonce} beside ${other.nonce}, which has ${other.untilMs - nowMs} ms left`,
        );
      }
    }
    known.untilMs = Math.max(known.untilMs ?? 0, nowMs + lease.expiresInMs);
  }

  /** `atStore`: whether the store took the extension. */
  leaseExtended(nonce: string, expiresInMs: number, atStore: boolean): void {
    const known = this.#leases.get(nonce);
    if (known?.untilMs === undefined) return;
    const untilMs = this.nowMs() + expiresInMs;
    if (!atStore && untilMs > known.untilMs + 1) known.exclusive = false;
    known.untilMs = Math.max(known.untilMs, untilMs);
  }

  /** The holder publishes, releases or leaves, and relies on the lease no longer. */
  givenUp(nonce: string): void {
    const known = this.#leases.get(nonce);
    if (known !== undefined) known.over = true;
  }

  /** `valueNonce`: the lease under which the value was made. `startedAt`: when the caller sent its request. */
  hitAnswered(
    id: string,
    hit: Hit,
    valueId: string,
    valueNonce: string,
    fromStore: boolean,
    startedAt: number,
  ): void {
    this.counts.hits += 1;
    if (valueId !== id) this.violated('INV-8', `${id}: got a value of ${valueId}`);
    if (!fromStore || !this.storeKept) return;
    const lease = this.#leases.get(valueNonce);
    if (lease === undefined || !lease.stored) {
      this.violated('INV-3', `${id}: READ_STORE served a value that was never stored`);
      return;
    }
    const stampings = (this.#stampings.get(keyFromId(id).namespace) ?? []).filter(({ request }) =>
      concerns(request, lease.tags),
    );
    for (const { mode, appliedAt, returnedAt } of [...(this.#invalidations.get(id) ?? []), ...stampings]) {
      const before = returnedAt !== undefined && returnedAt < startedAt && lease.armedAt < appliedAt;
      if (before && (mode === 'delete' || hit.fresh)) {
        this.violated('INV-3', `${id}: READ_STORE served a value from before an invalidation (${mode})`);
      }
    }
  }

  /** Judges a value that a call to `place` received. */
  shown(place: Place, shown: Shown, hit: Hit, degraded: Degraded): void {
    if (!this.storeKept) return;
    const broken = this.oldValues.ofHit(place, shown, hit, degraded);
    for (const what of broken) this.violated('INV-15', `${shown.id}: ${what}`);
  }

  failureShown(place: Place, shown: Shown): void {
    const old = this.storeKept && this.oldValues.ofFailure(place, shown);
    if (typeof old === 'string')
      this.violated('INV-15', `${shown.id}: an answer shows the failure of ${old}`);
  }

  #end(id: string, nonce: string): void {
    this.#armed.delete(id);
    this.givenUp(nonce);
  }
}

function concerns({ all, tags }: NamespaceInvalidate, valueTags: readonly string[]): boolean {
  return all || tags.some((tag) => valueTags.includes(tag));
}
