import type { Metadata } from '@grpc/grpc-js';
import type { Credentials, Guard, Visitor } from '../access/guard.js';

/** The part of a grpc-js call with its credentials. */
export interface Shown {
  readonly metadata: Metadata;
  getAuthContext(): { sslPeerCertificate?: { subjectaltname?: string | undefined } } | null;
}

function credentialsOf(call: Shown): Credentials {
  return {
    authorization: String(call.metadata.get('authorization')[0] ?? ''),
    // Read only if it counts, because Node parses the whole certificate for each call.
    subjectAltName: () => call.getAuthContext()?.sslPeerCertificate?.subjectaltname ?? '',
  };
}

/** Callers that were admitted by the metadata of their call, until that call has ended. */
const admitted = new WeakMap<Metadata, Visitor>();

/** The caller, asked for once in each call. Throws `unauthenticated`. */
export function admit(guard: Guard, call: Shown, path: string): Visitor {
  const known = admitted.get(call.metadata);
  if (known !== undefined) return known;
  const visitor = guard.admit(credentialsOf(call), methodOf(path));
  admitted.set(call.metadata, visitor);
  return visitor;
}

/** `/dibs.v1.CoordinatorService/Publish` becomes `Publish`. */
function methodOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
