import { type CertificateEnd, certificateEndsOf, SOON_DAYS, type TlsMaterial } from './config/tls-files.js';
import { LOG } from './telemetry/log-texts.js';
import type { Logger } from './telemetry/logger.js';

const DAY_MS = 86_400_000;
/** Certificates of a few days are renewed in time too, and are never far from their end. */
const SHARE_LEFT = 1 / 3;

/**
 * The certificates in use. Those that end soon are logged: now, after each change and reload, and every day. A process
 * may run for longer than its certificate, whose renewal has failed somewhere else.
 */
export class ServedCertificates {
  #ends: readonly CertificateEnd[];
  readonly #timer: NodeJS.Timeout;

  constructor(
    material: TlsMaterial,
    private readonly log: Pick<Logger, 'warn'>,
    private readonly wallMs: () => number = Date.now,
  ) {
    this.#ends = certificateEndsOf(material);
    this.#tell();
    this.#timer = setInterval(() => this.#tell(), DAY_MS).unref();
  }

  get ends(): readonly CertificateEnd[] {
    return this.#ends;
  }

  renewTls(material: TlsMaterial): void {
    this.#ends = certificateEndsOf(material);
    this.#tell();
  }

  async check(): Promise<void> {
    this.#tell();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tell(): void {
    for (const { variable, fromMs, endMs } of this.#ends) {
      const leftMs = endMs - this.wallMs();
      if (leftMs >= Math.min(SOON_DAYS * DAY_MS, (endMs - fromMs) * SHARE_LEFT)) continue;
      const endsAt = new Date(endMs).toISOString();
      this.log.warn({ variable, endsAt }, leftMs < 0 ? LOG.certificateEnded : LOG.certificateEndsSoon);
    }
  }
}
