/**
 * The caller asked for something that cannot be given. Outcomes such as busy or lost are answers, not
 * errors; these are for what no answer can be made of. `grpc/status.ts` is the one map to statuses.
 */
export class CoordinationError extends Error {
  constructor(
    readonly kind:
      | 'invalid_argument'
      | 'exhausted'
      | 'unavailable'
      | 'permission_denied'
      | 'unauthenticated'
      | 'unimplemented'
      | 'failed_precondition',
    message: string,
    /** When to come back. Absent: do not retry. */
    readonly retryAfterMs?: number,
  ) {
    super(message);
    this.name = 'CoordinationError';
  }
}
