import type { Clock } from '../coordination/ports/clock.js';
import { LOG } from './log-texts.js';
import type { Logger } from './logger.js';
import type { Reasons } from './reasons.js';

/** The same reason is logged again after this. A client tries to connect each second, and each call is refused. */
const AGAIN_MS = 60_000;

export interface Trouble {
  readonly kind: 'unreachable' | 'refused' | 'foreign_key';
  readonly why: string;
  readonly error: unknown;
}

/** A line for each reason why the value store does not serve. */
export class TroubleLog {
  /** When each was logged. There are as many as Redis has kinds of errors. */
  readonly #told = new Map<string, { readonly kind: Trouble['kind']; readonly atMs: number }>();

  constructor(
    private readonly log: Pick<Logger, 'warn' | 'error' | 'debug'>,
    private readonly clock: Pick<Clock, 'nowMs'>,
    private readonly reasons: Pick<Reasons, 'storeIs'>,
  ) {}

  heard({ kind, why, error }: Trouble): void {
    if (kind !== 'foreign_key') this.reasons.storeIs(why);
    const nowMs = this.clock.nowMs();
    const told = this.#told.get(why);
    if (told !== undefined && nowMs - told.atMs < AGAIN_MS) return;
    this.#told.set(why, { kind, atMs: nowMs });
    if (kind === 'unreachable') this.log.warn({ why }, LOG.storeUnreachable);
    else this.log.error({ why }, kind === 'refused' ? LOG.storeRefuses : LOG.storeForeignKey);
    this.log.debug({ err: error }, 'value store: the error in full');
  }

  /** A connection is ready. If it breaks, that is logged at once. What it refuses is logged again after a while. */
  over(): void {
    this.reasons.storeIs('');
    for (const [why, { kind }] of this.#told) if (kind === 'unreachable') this.#told.delete(why);
  }
}
