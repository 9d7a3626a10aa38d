/**
 * What a lease's token says. The nonce is the secret, and the exact compare of it at the store is the
 * safety; the rest spares look-ups and is never trusted for more than the wording of an outcome.
 */
export interface Token {
  /** `armed` at the store; by the `quorum` alone; or `local` to the replica that gave it. */
  readonly kind: 'armed' | 'quorum' | 'local';
  /** Minted in `leasing/token.ts`: it says whose the lease is. */
  readonly nonce: string;
  /** 0 unless armed. */
  readonly fence: number;
  /** How long it was given for: an extension that names no length uses it. */
  readonly leaseMs: number;
}
