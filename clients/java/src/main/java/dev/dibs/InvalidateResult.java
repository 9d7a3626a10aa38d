package dev.dibs;

/**
 * How much an invalidation was.
 *
 * @param keysInvalidated how many of the named keys had a value; what was reached by tag or as a whole is not counted
 * @param leasesVoided how many running rebuilds of the named keys were voided
 */
public record InvalidateResult(long keysInvalidated, long leasesVoided) {}
