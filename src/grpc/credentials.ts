import type { Metadata } from '@grpc/grpc-js';
import type { Credentials } from '../access/guard.js';

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
