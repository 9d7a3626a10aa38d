import type { Invalidate } from '../coordination/words/requests.js';
import type { Permission } from './identity.js';

/** The credentials of a caller. */
export interface Credentials {
  /** The header or metadata `authorization`; empty if there is none. */
  readonly authorization: string;
  /** The subject alternative names of its certificate, as Node writes them; empty without a verified certificate. */
  subjectAltName(): string;
}

/** An admitted caller. */
export interface Visitor {
  readonly identity: string;
  /** False after its credentials were removed. */
  readonly isKnown: boolean;
}

/** The port for permissions. Absent without identities: every caller may do everything. */
export interface Guard {
  /** Throws `unauthenticated`. */
  admit(credentials: Credentials, method: string): Visitor;
  /** Throws `unauthenticated` if the caller was admitted but its credentials were removed. */
  readmit(visitor: Visitor, method: string): void;
  /** Throws `exhausted` if the identity calls too often, or `permission_denied`. This call counts as `calls` calls. */
  allow(identity: string, method: string, permission: Permission, namespace: string, calls: number): void;
  /** Counts a call that needs no permission, or is refused for another reason. Throws `exhausted`. */
  spend(identity: string): void;
  /** The same check as {@link allow}, without counting or logging. */
  may(identity: string, permission: Permission, namespace: string): boolean;
  /** Reports a completed invalidation. */
  invalidated(identity: string, what: Invalidate): void;
}

/** The port for access to the pages over HTTP. */
export interface PageGuard {
  /** Throws `unauthenticated` or `permission_denied`. */
  admitToPage(credentials: Credentials, page: string): void;
}
