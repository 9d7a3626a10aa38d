/** So many are remembered of a key. */
export const PAST_LEASES_MAX = 16;
export const PAST_FAILURE_BYTES_MAX = 256;
/** What an absent record looks like. */
export const NO_RECORD = Object.freeze({ fence: 0, valueFence: 0 });
