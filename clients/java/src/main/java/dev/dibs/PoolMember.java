package dev.dibs;

import java.net.SocketAddress;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;

/** One address of a session pool, with its session. */
final class PoolMember {
  /** Until an address that failed is tried again: soon where it restarts, and seldom where it takes no sessions. */
  private static final Duration AGAIN_MIN = Duration.ofSeconds(1);

  private static final Duration AGAIN_MAX = Duration.ofSeconds(30);

  private final SocketAddress address;

  /** Which keys it has is by chance, so that a key that all processes want is not the burden of one replica. */
  private final int salt = ThreadLocalRandom.current().nextInt();

  private volatile SessionTransport session;
  private volatile long notBeforeNanos = System.nanoTime();
  private Duration pause = Duration.ZERO;

  PoolMember(SocketAddress address, SessionTransport session) {
    this.address = address;
    this.session = session;
  }

  SocketAddress address() {
    return address;
  }

  SessionTransport session() {
    return session;
  }

  void takes(SessionTransport other) {
    session = other;
  }

  /** The member with the highest one has the key: one that comes or goes moves no keys of the others. */
  int rank(String key) {
    // As in MurmurHash3, so that all bits of both count.
    int mixed = (key.hashCode() ^ salt) * 0x85ebca6b;
    mixed = (mixed ^ (mixed >>> 13)) * 0xc2b2ae35;
    return mixed ^ (mixed >>> 16);
  }

  /** Its session is opened, or could not be had. It counts as failed until it stands. */
  synchronized void failed() {
    Duration next = pause.multipliedBy(2);
    pause = next.compareTo(AGAIN_MIN) < 0 ? AGAIN_MIN : next.compareTo(AGAIN_MAX) > 0 ? AGAIN_MAX : next;
    notBeforeNanos = System.nanoTime() + pause.toNanos();
  }

  synchronized void stands() {
    pause = Duration.ZERO;
    // When it breaks, it may be there again soon.
    notBeforeNanos = System.nanoTime() + AGAIN_MIN.toNanos();
  }

  /** How long it is left alone; not above 0 where it may be tried. */
  long leftAloneNanos() {
    return notBeforeNanos - System.nanoTime();
  }
}
