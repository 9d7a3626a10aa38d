import type { Metadata } from '@grpc/grpc-js';
import type { Invalidate } from '../coordination/requests.js';

export type Permission = 'read' | 'lease' | 'publish' | 'invalidate' | 'explain';

/** The credentials of a caller. */
export interface Credentials {
  /** The metadata `authorization`; empty if there is none. */
  readonly authorization: string;
  /** The alternative names of its certificate, as Node writes them; empty without a verified certificate. */
  subjectAltName(): string;
}

/** An admitted caller. */
export interface Visitor {
  readonly identity: string;
  /** False after its credentials were removed. */
  readonly isKnown: boolean;
}

/** This room's port for permissions. Absent without identities: every caller may do everything. */
export interface Guard {
  /** Throws `unauthenticated`. */
  admit(credentials: Credentials, method: string): Visitor;
  /** Throws `unauthenticated` if the caller was admitted but its credentials were removed. */
  readmit(visitor: Visitor, method: string): void;
  /** Throws `permission_denied`, or `exhausted` if the identity calls too often. This call counts as `calls` calls. */
  allow(identity: string, method: string, permission: Permission, namespace: string, calls: number): void;
  /** The same check, without counting or logging. */
  may(identity: string, permission: Permission, namespace: string): boolean;
  /** Reports a completed invalidation. */
  invalidated(identity: string, what: Invalidate): void;
}

/** The part of a grpc-js call with its credentials. */
export interface Shown {
  readonly metadata: Metadata;
  getAuthContext(): { sslPeerCertificate?: { subjectaltname?: string | undefined } } | null;
}

export function credentialsOf(call: Shown): Credentials {
  return {
    authorization: String(call.metadata.get('authorization')[0] ?? ''),
    // Read only if it counts, because Node parses the whole certificate for each call.
    subjectAltName: () => call.getAuthContext()?.sslPeerCertificate?.subjectaltname ?? '',
  };
}
