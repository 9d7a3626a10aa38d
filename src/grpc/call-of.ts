import type { Guard, Visitor } from '../access/guard.js';
import { Call } from '../coordination/words/call.js';
import type { Tracing } from '../coordination/words/trace.js';
import { admit, type Shown } from './credentials.js';

/** The part of a grpc-js call that is used here. */
export interface TransportCall extends Shown {
  readonly cancelled: boolean;
  getDeadline(): Date | number;
  on(event: 'cancelled', listener: () => void): unknown;
}

/** W3C trace context, version 00 and later versions with the same form. */
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Empty for an invalid traceparent: a caller may send anything, and records and traces keep it. */
export function traceparentOf(text: string): string {
  return text !== '' && TRACEPARENT.test(text) ? text : '';
}

/**
 * The domain's view of a transport call. Take it when the call arrives. grpc-js also reports `cancelled` when the
 * deadline has passed, and again after every answer, when it no longer matters. Throws `unauthenticated` for an unknown
 * caller, which is not traced.
 */
export function callOf(
  transport: TransportCall,
  path: string,
  { guard, tracing }: { readonly guard: Guard | undefined; readonly tracing: Tracing | undefined },
): Call {
  const identity = visitorOf(transport, path, { guard })?.identity ?? '';
  const traceparent = traceparentOf(String(transport.metadata.get('traceparent')[0] ?? ''));
  const call = new Call(
    identity,
    // grpc-js gives the deadline on the wall clock. Only this place compares with it.
    Number(transport.getDeadline()) - Date.now(),
    traceparent,
    tracing?.call(path.slice(1), traceparent),
  );
  transport.on('cancelled', () => call.cancel());
  if (transport.cancelled) call.cancel();
  return call;
}

/** The caller of a transport call; undefined without identities. Throws `unauthenticated`. */
export function visitorOf(
  transport: Shown,
  path: string,
  { guard }: { readonly guard: Guard | undefined },
): Visitor | undefined {
  return guard && admit(guard, transport, path);
}
