/**
 * A lease's token. The edge encodes and decodes its text. The nonce is the secret: the store compares it exactly, and
 * that is the safety. The rest saves look-ups, and is trusted only for the wording of an outcome.
 */
export interface Token {
  /** `armed` at the store; by the `quorum` alone; or `local` to the replica that gave it. */
  readonly kind: 'armed' | 'quorum' | 'local';
  /** Minted in `leasing/nonce.ts`: it says whose the lease is. */
  readonly nonce: string;
  /** 0 unless armed. */
  readonly fence: number;
  /** The length that it was granted for. An extension without a length uses it. */
  readonly leaseMs: number;
}
