import type { Clock } from '../coordination/ports/clock.js';
import { LOG } from './log-texts.js';
import type { Logger } from './logger.js';

/** A failover is over by then. */
const FAILS_MS = 10_000;
/** The same reason is logged again after this, because the channel tries to subscribe each second. */
const AGAIN_MS = 60_000;

/**
 * A line when no wakes come although the value store serves: its user may not subscribe, or it has no connection left.
 * Nothing else would show it. While the store cannot be reached either, its own line says so.
 */
export class WakeLog {
  #storeSinceMs: number | undefined;
  #failsSinceMs: number | undefined;
  #told: { readonly why: string; readonly atMs: number } | undefined;

  constructor(
    private readonly log: Pick<Logger, 'warn' | 'info'>,
    private readonly clock: Pick<Clock, 'nowMs'>,
  ) {}

  storeConnected(): void {
    this.#storeSinceMs = this.clock.nowMs();
  }

  storeUnreachable(): void {
    this.#storeSinceMs = undefined;
  }

  /** The channel is live from now on. */
  heard(): void {
    this.#failsSinceMs = undefined;
    if (this.#told !== undefined) this.log.info({}, LOG.wakesHeard);
    this.#told = undefined;
  }

  /** A try of the channel has failed. */
  failed(why: string): void {
    const nowMs = this.clock.nowMs();
    this.#failsSinceMs ??= nowMs;
    if (this.#storeSinceMs === undefined) return;
    if (nowMs - Math.max(this.#failsSinceMs, this.#storeSinceMs) < FAILS_MS) return;
    if (this.#told?.why === why && nowMs - this.#told.atMs < AGAIN_MS) return;
    this.#told = { why, atMs: nowMs };
    this.log.warn({ why }, LOG.wakesUnheard);
  }
}
