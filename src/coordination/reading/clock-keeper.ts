import { undefinedIfUnavailable } from '../degradation/unavailable.js';
import type { Clock } from '../ports/clock.js';
import type { NamespaceStore } from '../ports/namespace-store.js';
import type { Policy } from '../words/policy.js';
import { encodeTagClock } from '../words/tag-clock.js';
import { setNewest } from './bounded-map.js';
import type { Changes } from './changes.js';

/** The clock is kept this many times as long as needed, so that only one in many leases and values asks the store. */
const AHEAD = 2;
/** How many namespaces are remembered. A forgotten one costs a request at its next lease or publish. */
const NAMESPACES_MAX = 1_024;

export interface ClockKeeperParts {
  readonly namespaces: Pick<NamespaceStore, 'begin'>;
  readonly clock: Clock;
  policyOf(namespace: string): Policy;
}

/**
 * Keeps the tag clock of a namespace as long as any lease or value carries it, and no longer. It starts before the
 * first lease is armed, and ends some time after the last value.
 */
export class ClockKeeper {
  /** How long each namespace lasts at least, on this replica's clock. */
  readonly #lastsUntilMs = new Map<string, number>();

  constructor(
    private readonly parts: ClockKeeperParts,
    private readonly changes: Pick<Changes, 'count' | 'listenTo' | 'clockRead' | 'newestClock'>,
  ) {}

  /** A read that was sent at that time returned how long the namespace lasts. */
  read(namespace: string, keptForMs: number, sentAtMs: number): void {
    if (keptForMs === 0) this.#lastsUntilMs.delete(namespace);
    else this.#note(namespace, sentAtMs + keptForMs);
  }

  /**
   * The clock for a lease that will be armed: the newest one that is known here if it outlasts the lease, else the
   * store's current one. Without an answer it is the one that is known, perhaps none. Whether there is a lease is then
   * up to the arming, and a value whose clock was lost costs a rebuild.
   */
  forLease(namespace: string, clockRead: string): string | Promise<string> {
    const { leaseHoldMsMax } = this.parts.policyOf(namespace);
    const known = this.changes.newestClock(namespace, clockRead);
    if (known !== '' && this.#lasts(namespace, leaseHoldMsMax)) return known;
    const begun = this.#begin(namespace, leaseHoldMsMax).catch(undefinedIfUnavailable);
    return begun.then((clock) => clock ?? known);
  }

  /**
   * A value with this lifetime is published. Undefined if the namespace outlasts it. Without the store the value may expire
   * early, which costs a rebuild.
   */
  forValue(namespace: string, lifeMs: number): Promise<unknown> | undefined {
    if (this.#lasts(namespace, lifeMs)) return undefined;
    return this.#begin(namespace, lifeMs).catch(undefinedIfUnavailable);
  }

  #lasts(namespace: string, ms: number): boolean {
    return (this.#lastsUntilMs.get(namespace) ?? 0) >= this.parts.clock.nowMs() + ms;
  }

  async #begin(namespace: string, ms: number): Promise<string> {
    const keepMs = AHEAD * ms;
    const sentAtMs = this.parts.clock.nowMs();
    this.changes.listenTo(namespace);
    const { count: sentAt } = this.changes;
    const clock = encodeTagClock(await this.parts.namespaces.begin(namespace, keepMs));
    this.changes.clockRead(namespace, clock, sentAt);
    this.#note(namespace, sentAtMs + keepMs);
    return clock;
  }

  /** The latest answer counts: a namespace that was lost starts again, and may end earlier. */
  #note(namespace: string, lastsUntilMs: number): void {
    setNewest(this.#lastsUntilMs, namespace, lastsUntilMs, NAMESPACES_MAX);
  }
}
