import { gone } from './call-ends.js';
import type { Callers } from './callers.js';
import { type Change, type CopyHolder, concerns, idOf } from './changes.js';
import { type Clock, SYSTEM_CLOCK } from './clock.js';

/** The result of a rebuild, for callers that joined it after its lease was granted. */
export type Shared =
  | { readonly kind: 'value'; readonly value: Uint8Array | null }
  | { readonly kind: 'failure'; readonly error: unknown }
  /** Nothing that they may have. They ask the service. */
  | { readonly kind: 'ask_again' };

export interface RebuildFacts {
  readonly namespace: string;
  readonly key: string;
  /** The lease came with a value to serve in the meantime. */
  readonly hasPrevious: boolean;
  /** The holder's option. With `forbid`, the lease comes without the stale value that there may be. */
  readonly stale: 'allow' | 'forbid' | undefined;
  /** A refresh or an early refresh: the service may have a fresh value meanwhile. */
  readonly isRefresh: boolean;
}

interface RebuildParts {
  readonly callers: Callers;
  readonly closed: (rebuild: RunningRebuild) => void;
  readonly clock: Clock;
}

/** A rebuild under a lease in this process. Callers may join it until it is closed. */
export class RunningRebuild {
  readonly #beganMs: number;
  readonly #shared: Promise<Shared>;
  #settle!: (shared: Shared) => void;

  constructor(
    readonly of: RebuildFacts,
    private readonly parts: RebuildParts,
  ) {
    this.#beganMs = parts.clock.nowMs();
    this.#shared = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  async join(signal: AbortSignal | undefined, untilMs: number): Promise<Shared> {
    const { callers, clock } = this.parts;
    const workedMs = () => clock.nowMs() - this.#beganMs;
    const shared = await callers.wait(this.#shared, { signal, untilMs, workedMs });
    // The caller that began it may ask again too, and must not be kept waiting by this one.
    if (shared.kind === 'ask_again') callers.leave(gone());
    return shared;
  }

  /**
   * No caller may join any more. Call it before its result is sent: a value that is stored, then invalidated, and then
   * answered must not reach a caller that came after the invalidation.
   */
  close(): void {
    this.parts.closed(this);
  }

  settle(shared: Shared): void {
    this.close();
    this.#settle(shared);
  }
}

/** The rebuilds of this process that callers may join, by key. */
export class RunningRebuilds implements CopyHolder {
  readonly #open = new Map<string, RunningRebuild>();
  readonly #close = (rebuild: RunningRebuild) => {
    const id = idOf(rebuild.of.namespace, rebuild.of.key);
    if (this.#open.get(id) === rebuild) this.#open.delete(id);
  };

  constructor(private readonly clock: Clock = SYSTEM_CLOCK) {}

  begin(of: RebuildFacts, callers: Callers): RunningRebuild {
    const rebuild = new RunningRebuild(of, { callers, closed: this.#close, clock: this.clock });
    this.#open.set(idOf(of.namespace, of.key), rebuild);
    return rebuild;
  }

  of(namespace: string, key: string): RunningRebuild | undefined {
    return this.#open.size === 0 ? undefined : this.#open.get(idOf(namespace, key));
  }

  changed(change: Change): void {
    for (const rebuild of this.#open.values()) {
      if (concerns(change, rebuild.of.namespace, rebuild.of.key)) rebuild.close();
    }
  }

  missed(): void {
    this.#open.clear();
  }

  began(): void {
    this.#open.clear();
  }
}
