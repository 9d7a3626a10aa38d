package dev.dibs;

import java.time.Duration;
import java.util.concurrent.Executor;

/**
 * The parts of a client, which all its calls share.
 *
 * @param flights requests that are under way
 * @param unreadable rebuilds of values that a codec could not read
 * @param running rebuilds of this process under a lease
 * @param local rebuilds of this process that go without the service
 * @param near null if there is none
 * @param background work that no caller waits for
 * @param executor runs rebuilds
 * @param leaseHoldMax of calls that name none
 */
record Parts(
    Transport transport,
    Connection connection,
    SafeHooks hooks,
    HeldLeases held,
    Flights<Found> flights,
    Flights<Found> unreadable,
    RunningRebuilds running,
    LocalRebuilds local,
    Changes changes,
    Availability availability,
    NearCache near,
    Background background,
    Executor executor,
    Tracing tracing,
    Metrics metrics,
    String namespace,
    String holder,
    OnUnavailable onUnavailable,
    Duration leaseHoldMax) {}
