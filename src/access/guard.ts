import type { Invalidate } from '../coordination/requests.js';
import type { Permission } from './identity.js';

/** What a caller shows of itself. */
export interface Credentials {
  /** The header or metadata `authorization`; empty if there is none. */
  readonly authorization: string;
  /** The subject alternative names of its certificate, as node writes them; empty unless one was verified. */
  subjectAltName(): string;
}

/** Who was admitted. */
export interface Visitor {
  readonly identity: string;
  /** False once what it has shown counts no more. */
  readonly isKnown: boolean;
}

/** Who may call what. Absent wherever everybody may do everything. */
export interface Guard {
  /** Throws `unauthenticated`. */
  admit(credentials: Credentials, method: string): Visitor;
  /** Throws `unauthenticated` for whoever was admitted and counts no more. */
  readmit(visitor: Visitor, method: string): void;
  /** Throws `permission_denied`, or `exhausted` where the identity calls too often; `calls` is what this one counts for. */
  allow(identity: string, method: string, permission: Permission, namespace: string, calls: number): void;
  /** The same without consequences. */
  may(identity: string, permission: Permission, namespace: string): boolean;
  /** An invalidation was done. */
  invalidated(identity: string, what: Invalidate): void;
}

/** Who may see the pages of HTTP. */
export interface PageGuard {
  /** Throws `unauthenticated` or `permission_denied`. */
  admitToPage(credentials: Credentials, page: string): void;
}
