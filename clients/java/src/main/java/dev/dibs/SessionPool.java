package dev.dibs;

import com.google.protobuf.MessageLite;
import dev.dibs.v1.GetOrLockManyRequest;
import dev.dibs.v1.GetOrLockManyResponse;
import io.grpc.Status;
import java.net.SocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * One session per address of the target, so that the replicas share the calls of one process. All calls of a key use
 * the same session: callers of a key meet at one replica. The first call opens a session with any address. If the
 * target has several, the others are opened in the background; calls go where a session is open.
 */
final class SessionPool implements Transport, SessionTransport.Hears {
  /** One process has no use for more replicas than that. */
  static final int SESSIONS_MAX = 8;

  /** How many addresses are remembered: those that restart come back with their resume tokens and their keys. */
  private static final int KNOWN_MAX = 2 * SESSIONS_MAX;

  private final SessionTransport.Shared shared;
  private final int salt;
  private final Map<SocketAddress, PoolMember> known = new LinkedHashMap<>();

  /** The members that calls may use: their addresses are connected. Replaced as a whole. */
  private volatile List<PoolMember> members = List.of();

  /** With any address: the only session if there is one address, else for when no other is open. */
  private volatile SessionTransport any;

  private Future<?> tending;
  private boolean closed;

  /** Pools with the same salt assign a key to the same replica. */
  SessionPool(SessionTransport.Shared shared, int salt) {
    this.shared = shared;
    this.salt = salt;
    this.any = new SessionTransport(shared, null, this);
  }

  @Override
  public <Q extends MessageLite, R> CompletableFuture<R> call(Method<Q, R> method, Q request, Terms terms) {
    // Most targets have one address.
    if (members.isEmpty()) return any.call(method, request, terms);
    return first(method.key().apply(request), List.of(), session -> session.call(method, request, terms));
  }

  @Override
  public CompletableFuture<Void> callMany(
      GetOrLockManyRequest request, Terms terms, Consumer<GetOrLockManyResponse> onAnswer) {
    if (members.isEmpty()) return any.callMany(request, terms, onAnswer);
    return first(request.getKeys(0), List.of(), session -> session.callMany(request, terms, onAnswer));
  }

  @Override
  public List<List<String>> groups(List<String> keys) {
    List<PoolMember> now = members;
    if (now.isEmpty()) return List.of(keys);
    // If none may be tried, all keys use the session with any address.
    return List.copyOf(
        keys.stream()
            .collect(Collectors.groupingBy(key -> Optional.ofNullable(choose(now, key, List.of()))))
            .values());
  }

  /** The answer from the key's session; if that is unavailable, from another one. */
  private <R> CompletableFuture<R> first(
      String key, List<PoolMember> tried, Function<SessionTransport, CompletableFuture<R>> ask) {
    PoolMember member = choose(members, key, tried);
    if (member == null) return ask.apply(any);
    CompletableFuture<R> reply = new CompletableFuture<>();
    ask.apply(member.session())
        .whenComplete(
            (value, error) -> {
              if (!isNone(error)) {
                Futures.settle(reply, value, error);
                return;
              }
              member.failed();
              List<PoolMember> failed = new ArrayList<>(tried);
              failed.add(member);
              first(key, failed, ask).whenComplete((other, last) -> Futures.settle(reply, other, last));
            });
    return reply;
  }

  /**
   * Whether there was no session. If credentials were refused, the call has to be made separately, with the current
   * ones.
   */
  private static boolean isNone(Throwable error) {
    return error != null
        && DibsStatusException.of(error) instanceof NoSessionException none
        && none.code() != Status.Code.UNAUTHENTICATED;
  }

  /** The highest rank of those that are open, else of those that may be tried; null if there are none. */
  static PoolMember choose(List<PoolMember> members, String key, List<PoolMember> tried) {
    int hash = KeyShare.hashOf(key);
    PoolMember standing = null;
    PoolMember likely = null;
    for (PoolMember member : members) {
      if (tried.contains(member)) continue;
      if (member.session().stands()) standing = higher(standing, member, hash);
      else if (member.leftAloneNanos() <= 0) likely = higher(likely, member, hash);
    }
    return standing == null ? likely : standing;
  }

  private static PoolMember higher(PoolMember one, PoolMember other, int hash) {
    return one == null || other.rank(hash) > one.rank(hash) ? other : one;
  }

  /** Opens a session without a call, if none is open; fails if none can be opened. */
  CompletableFuture<Void> open() {
    boolean stands = members.stream().anyMatch(member -> member.session().stands());
    return stands ? CompletableFuture.completedFuture(null) : any.open();
  }

  @Override
  public void close() {
    List<SessionTransport> all = new ArrayList<>();
    synchronized (this) {
      closed = true;
      if (tending != null) tending.cancel(false);
      known.values().forEach(member -> all.add(member.session()));
      all.add(any);
    }
    all.forEach(SessionTransport::close);
  }

  @Override
  public void connected(Set<SocketAddress> addresses, boolean all) {
    shared.link().connection().connected(addresses, all);
    // On a thread that nothing else waits for. All changes come on that thread, in order.
    Threads.after(Duration.ZERO, () -> {
      if (take(addresses)) tend();
    });
  }

  @Override
  public void ended() {
    if (!members.isEmpty()) tendAfter(0);
  }

  /** False if the one session with any address goes on alone. */
  private synchronized boolean take(Set<SocketAddress> addresses) {
    if (closed || (known.isEmpty() && addresses.size() < 2)) return false;
    List<SocketAddress> chosen = some(addresses, members.stream().map(PoolMember::address).toList());
    members = chosen.stream().map(this::member).toList();
    forgetOld();
    return true;
  }

  /** Used addresses stay, others are added at random, so that all replicas have users. */
  static List<SocketAddress> some(Set<SocketAddress> addresses, List<SocketAddress> used) {
    List<SocketAddress> chosen = new ArrayList<>(used.stream().filter(addresses::contains).toList());
    List<SocketAddress> others = new ArrayList<>(addresses);
    others.removeAll(chosen);
    Collections.shuffle(others);
    chosen.addAll(others);
    return chosen.subList(0, Math.min(SESSIONS_MAX, chosen.size()));
  }

  private PoolMember member(SocketAddress address) {
    PoolMember member = known.get(address);
    boolean isHere = address.equals(any.at());
    if (member != null && (!isHere || member.session().hasStream())) return member;
    // The session with any address already uses this one: two sessions with one replica would be one too many.
    SessionTransport session = isHere ? any : new SessionTransport(shared, address, this);
    if (isHere) {
      session.stayAt(address);
      any = new SessionTransport(shared, null, this);
    }
    if (member == null) {
      member = new PoolMember(address, session, salt);
      known.put(address, member);
    } else {
      member.takes(session);
    }
    return member;
  }

  /** Not those whose sessions are still open: their calls and leases end there. */
  private void forgetOld() {
    List<PoolMember> old =
        known.values().stream()
            .filter(member -> !members.contains(member) && !member.session().hasStream())
            .toList();
    old.stream()
        .limit(Math.max(0, known.size() - KNOWN_MAX))
        .forEach(member -> known.remove(member.address()));
  }

  /** Opens the missing sessions. */
  private void tend() {
    long laterNanos = Long.MAX_VALUE;
    for (PoolMember member : members) {
      if (member.session().hasStream()) continue;
      long leftAloneNanos = member.leftAloneNanos();
      if (leftAloneNanos > 0) {
        laterNanos = Math.min(laterNanos, leftAloneNanos);
      } else {
        member.failed();
        member.session().open().whenComplete((opened, error) -> {
          if (error == null) member.stands();
        });
      }
    }
    if (laterNanos < Long.MAX_VALUE) tendAfter(laterNanos);
  }

  private synchronized void tendAfter(long nanos) {
    if (closed) return;
    if (tending != null) tending.cancel(false);
    tending = Threads.after(Duration.ofNanos(nanos), this::tend);
  }
}
