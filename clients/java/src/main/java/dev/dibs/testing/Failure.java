package dev.dibs.testing;

import java.time.Duration;

/** A rebuild's failure, and when its back-off is over. */
record Failure(String message, Duration until) {}
