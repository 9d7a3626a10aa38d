import { type Clock, SYSTEM_CLOCK } from './clock.js';
import type * as wire from './generated/dibs/v1/coordinator.js';

/** What has changed in a namespace. An empty `keys` with neither tags nor `all` is nothing. */
export type Change = wire.Invalidated;

/** A place that holds copies: the near cache, calls under way, values that were rebuilt without the service. */
export interface CopyHolder {
  changed(change: Change): void;
  /** Changes may have been missed, so any copy may be old. */
  missed(): void;
  /** A session has begun. It reports only changes from now on. */
  began?(): void;
}

/** A session without a beat for this long may have missed a change. The service sends one each second. */
const LIVE_MS = 3_000;

/** One session that watches namespaces. It reports changes as long as it is live. */
export class Watch {
  #heardMs = Number.NEGATIVE_INFINITY;
  /** When the welcome was asked for, or the last beat came. */
  #sinceMs: number;

  constructor(
    private readonly ended: (watch: Watch) => void,
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {
    this.#sinceMs = clock.nowMs();
  }

  get isLive(): boolean {
    return this.clock.nowMs() - this.#heardMs < LIVE_MS;
  }

  /**
   * The welcome or a beat has come. Returns whether it was due long ago. Then this process was held up, and changes that
   * were sent before it may be read after it.
   */
  beat(): boolean {
    const nowMs = this.clock.nowMs();
    const lapsed = nowMs - this.#sinceMs >= LIVE_MS;
    this.#heardMs = nowMs;
    this.#sinceMs = nowMs;
    return lapsed;
  }

  end(): void {
    this.#heardMs = Number.NEGATIVE_INFINITY;
    this.ended(this);
  }
}

/** Reports changes to every place of this process that holds copies. */
export class Changes {
  readonly #watched: ReadonlySet<string>;
  readonly #watches = new Set<Watch>();
  readonly #holders: CopyHolder[] = [];

  /** `namespaces` are those that sessions watch; none without a near cache. */
  constructor(
    readonly namespaces: readonly string[] = [],
    private readonly clock: Clock = SYSTEM_CLOCK,
  ) {
    this.#watched = new Set(namespaces);
  }

  tell(holder: CopyHolder): void {
    this.#holders.push(holder);
  }

  /** For a new session; undefined if there is nothing to watch. */
  watch(): Watch | undefined {
    if (this.namespaces.length === 0) return undefined;
    const watch = new Watch(() => this.#watches.delete(watch), this.clock);
    this.#watches.add(watch);
    return watch;
  }

  /** Whether every change of the namespace is received now. */
  isWatched(namespace: string): boolean {
    if (this.#watches.size === 0 || !this.#watched.has(named(namespace))) return false;
    for (const watch of this.#watches) if (!watch.isLive) return false;
    return true;
  }

  changed(change: Change): void {
    for (const holder of this.#holders) holder.changed(change);
  }

  missed(): void {
    for (const holder of this.#holders) holder.missed();
  }

  began(): void {
    for (const holder of this.#holders) holder.began?.();
  }
}

/** The namespace that an empty name stands for. */
export function named(namespace: string): string {
  return namespace === '' ? 'default' : namespace;
}

/** The same for a key and its namespace, as one text. */
export function idOf(namespace: string | undefined, key: string): string {
  return `${named(namespace ?? '')}\0${key}`;
}

/** Whether a copy of this key may be old after the change. Its tags are unknown. */
export function concerns(
  { keys, tags, all, namespace: of }: Change,
  namespace: string,
  key: string,
): boolean {
  return named(of) === named(namespace) && (all || tags.length > 0 || keys.includes(key));
}
