/**
 * A request that cannot be answered. Outcomes such as busy or lost are answers, not errors. `grpc/status.ts` is the one
 * map to statuses.
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
    /** When to retry. Absent: do not retry. */
    readonly retryAfterMs?: number,
  ) {
    super(message);
    this.name = 'CoordinationError';
  }
}
