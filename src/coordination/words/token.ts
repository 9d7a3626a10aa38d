/**
 * A lease's token; the edge encodes and decodes its text. The nonce is the secret, and its exact compare at the store
 * is the safety. The rest spares look-ups and is never trusted for more than the wording of an outcome.
 */
export interface Token {
  /** `armed` at the store; by the `quorum` alone; or `local` to the replica that gave it. */
  readonly kind: 'armed' | 'quorum' | 'local';
  /** Minted in `leasing/nonce.ts`: it says whose the lease is. */
  readonly nonce: string;
  /** 0 unless armed. */
  readonly fence: number;
  /** How long it was given for: an extension that names no length uses it. */
  readonly leaseMs: number;
}
