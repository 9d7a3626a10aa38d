import { Call } from '../coordination/call.js';
import type { Tracing } from '../coordination/trace.js';
import { credentialsOf, type Guard, type Shown } from './guard.js';

/** What a grpc-js call is asked here. */
export interface TransportCall extends Shown {
  readonly cancelled: boolean;
  getDeadline(): Date | number;
  on(event: 'cancelled', listener: () => void): unknown;
}

/** W3C trace context, version 00 and later ones that look like it. */
const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Empty for what is no W3C traceparent: it goes into records and traces, and a caller may send anything. */
export function traceparentOf(text: string): string {
  return text !== '' && TRACEPARENT.test(text) ? text : '';
}

/**
 * The domain's view of a transport call, to be taken when it arrives. grpc-js also says `cancelled` when
 * the deadline has passed, and once more after every answer, when nothing depends on it any longer. Throws
 * `unauthenticated` where the guard does not know who calls; nothing is traced of that.
 */
export function callOf(
  transport: TransportCall,
  path: string,
  { guard, tracing }: { readonly guard: Guard | undefined; readonly tracing: Tracing | undefined },
): Call {
  const identity = guard?.admit(credentialsOf(transport), methodOf(path)).identity ?? '';
  const traceparent = traceparentOf(String(transport.metadata.get('traceparent')[0] ?? ''));
  const call = new Call(
    identity,
    // grpc-js gives the deadline on the wall clock, and here is the only place that compares with that.
    Number(transport.getDeadline()) - Date.now(),
    traceparent,
    tracing?.call(path.slice(1), traceparent),
  );
  transport.on('cancelled', () => call.cancel());
  if (transport.cancelled) call.cancel();
  return call;
}

/** `/dibs.v1.CoordinatorService/Publish` is `Publish`. */
function methodOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
