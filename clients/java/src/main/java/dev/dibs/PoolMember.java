package dev.dibs;

import java.net.SocketAddress;
import java.time.Duration;

/** One address of a session pool, with its session. */
final class PoolMember {
  /** Until an address that failed is tried again: soon if it is restarting, seldom if it does not accept sessions. */
  private static final Duration AGAIN_MIN = Duration.ofSeconds(1);

  private static final Duration AGAIN_MAX = Duration.ofSeconds(30);

  private final SocketAddress address;

  /** Decides which keys it gets. */
  private final int seed;

  private volatile SessionTransport session;
  private volatile long notBeforeNanos = System.nanoTime();
  private Duration pause = Duration.ZERO;

  /** In pools with the same salt, a key goes to the same address. */
  PoolMember(SocketAddress address, SessionTransport session, int salt) {
    this.address = address;
    this.seed = KeyShare.hashOf(KeyShare.textOf(address)) ^ salt;
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

  /** The member with the highest rank has the key: a member that comes or goes does not move the keys of others. */
  long rank(int keyHash) {
    return KeyShare.rankOf(keyHash, seed);
  }

  /** The session is being opened, or could not be opened. The member counts as failed until the session is open. */
  synchronized void failed() {
    Duration next = pause.multipliedBy(2);
    pause = next.compareTo(AGAIN_MIN) < 0 ? AGAIN_MIN : next.compareTo(AGAIN_MAX) > 0 ? AGAIN_MAX : next;
    notBeforeNanos = System.nanoTime() + pause.toNanos();
  }

  synchronized void stands() {
    pause = Duration.ZERO;
    // When the session breaks, the address may be available again soon.
    notBeforeNanos = System.nanoTime() + AGAIN_MIN.toNanos();
  }

  /** How long the address is left alone; not above 0 if it may be tried. */
  long leftAloneNanos() {
    return notBeforeNanos - System.nanoTime();
  }
}
