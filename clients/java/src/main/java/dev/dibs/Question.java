package dev.dibs;

/**
 * What one call of getOrRebuild is about.
 *
 * @param namespace empty for the service's default
 * @param onUnavailable not null
 * @param body makes the bytes anew
 * @param left raised when nobody waits any more
 * @param trace of the caller who asked first
 */
record Question(
    String namespace,
    String key,
    Options<?> options,
    OnUnavailable onUnavailable,
    Run.Body body,
    Signal left,
    CallTrace trace) {}
