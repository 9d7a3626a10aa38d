package dev.dibs;

import dev.dibs.v1.Invalidated;
import dev.dibs.v1.ReleaseRequest;

/** What a stream reports to its owner. */
interface SessionOwner {
  void welcomed(SessionStream stream, String resumeToken);

  /** A lease of this session is over: its publish would not be stored. */
  void leaseLost(String token);

  /** A lease has come for a call whose caller had left. */
  void unwanted(ReleaseRequest lease);

  /** The replica is stopping, or no longer knows this session's credentials: new calls go elsewhere. */
  void draining(SessionStream stream);

  /** Values of a watched namespace have changed. */
  void changed(Invalidated what);

  /** The replica receives changes. */
  void beat(SessionStream stream);

  void broken(SessionStream stream);
}
