package dev.dibs;

/**
 * What an invalidation reached.
 *
 * @param keysInvalidated how many of the named keys had a value; values reached by tag or by namespace are not counted
 * @param leasesVoided how many running rebuilds of the named keys were voided
 */
public record InvalidateResult(long keysInvalidated, long leasesVoided) {}
