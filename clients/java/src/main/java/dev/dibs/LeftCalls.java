package dev.dibs;

import dev.dibs.v1.Lease;
import dev.dibs.v1.ReleaseRequest;
import dev.dibs.v1.SessionCall;
import dev.dibs.v1.SessionReply;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The calls of a stream that were sent, and whose callers have left. A lease may have been on its way to one of them:
 * without its release, no other caller would get it until it expires.
 */
final class LeftCalls {
  /** Leases of earlier calls expire by themselves. */
  private static final int CALLS_MAX = 1_000;

  /** Oldest first. */
  private final Map<Long, SessionCall> calls = new LinkedHashMap<>();

  synchronized void add(SessionCall call) {
    if (!call.hasGetOrLock() && !call.hasGetOrLockMany()) return;
    calls.put(call.getId(), call);
    if (calls.size() > CALLS_MAX) calls.remove(calls.keySet().iterator().next());
  }

  /** The release of a lease that has come for one of them; null if the reply is something else. */
  synchronized ReleaseRequest releaseFor(SessionReply reply) {
    SessionCall call = reply.getMore() ? calls.get(reply.getId()) : calls.remove(reply.getId());
    if (call == null) return null;
    if (reply.getGetOrLock().hasLease()) {
      return release(call.getGetOrLock().getNamespace(), call.getGetOrLock().getKey(), reply.getGetOrLock().getLease());
    }
    var one = reply.getGetOrLockMany();
    if (!one.getResponse().hasLease()) return null;
    return release(call.getGetOrLockMany().getNamespace(), one.getKey(), one.getResponse().getLease());
  }

  private static ReleaseRequest release(String namespace, String key, Lease lease) {
    return ReleaseRequest.newBuilder().setNamespace(namespace).setKey(key).setToken(lease.getToken()).build();
  }
}
