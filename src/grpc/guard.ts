import type { Metadata } from '@grpc/grpc-js';
import type { Invalidate } from '../coordination/requests.js';

export type Permission = 'read' | 'lease' | 'publish' | 'invalidate' | 'explain';

/** What a caller shows of itself. */
export interface Credentials {
  /** The metadata `authorization`; empty if there is none. */
  readonly authorization: string;
  /** The alternative names of its certificate, as node writes them; empty unless one was verified. */
  subjectAltName(): string;
}

/** Who was admitted. */
export interface Visitor {
  readonly identity: string;
  /** False once what it has shown counts no more. */
  readonly isKnown: boolean;
}

/** Who may do what, as this room asks for it. Absent wherever everybody may do everything. */
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

/** As much of a grpc-js call as shows who calls. */
export interface Shown {
  readonly metadata: Metadata;
  getAuthContext(): { sslPeerCertificate?: { subjectaltname?: string | undefined } } | null;
}

export function credentialsOf(call: Shown): Credentials {
  return {
    authorization: String(call.metadata.get('authorization')[0] ?? ''),
    // Asked for only where it counts: node parses the whole certificate for each call.
    subjectAltName: () => call.getAuthContext()?.sslPeerCertificate?.subjectaltname ?? '',
  };
}
