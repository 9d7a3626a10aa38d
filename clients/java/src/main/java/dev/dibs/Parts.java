package dev.dibs;

import com.google.protobuf.ByteString;
import java.util.concurrent.Executor;

/**
 * What a client is made of, and all its calls share.
 *
 * @param local rebuilds of this process that go without the service: one at a time for each key
 * @param executor where rebuilds run
 */
record Parts(
    Transport transport,
    SafeHooks hooks,
    HeldLeases held,
    Flights<ByteString> local,
    Executor executor,
    Tracing tracing,
    String namespace,
    String holder,
    OnUnavailable onUnavailable) {}
