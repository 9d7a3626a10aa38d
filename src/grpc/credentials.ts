import type { Metadata } from '@grpc/grpc-js';
import type { Credentials } from '../access/guard.js';

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
