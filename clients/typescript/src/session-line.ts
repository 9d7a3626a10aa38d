import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { Watch } from './changes.js';
import type { DibsError } from './errors.js';
import type * as wire from './generated/dibs/v1/coordinator.js';
import type { OpenCall } from './open-call.js';
import type { OpenCalls } from './open-calls.js';

/** One stream, with the calls that are open on it. */
export interface Line {
  readonly stream: ClientDuplexStream<Buffer, wire.SessionResponse>;
  readonly calls: OpenCalls<OpenCall<Line>>;
  readonly watch: Watch | undefined;
  /** Ends the wait for its confirmation; undefined once it came: proxies on the way carry sessions. */
  confirm: (() => void) | undefined;
  /** Called when it is confirmed or broken. */
  readonly expected: ((error?: DibsError) => void)[];
  calling: wire.SessionCall[];
  cancelled: number[];
  planned: boolean;
  /** A call was made on it, so there may be copies of its answers. */
  used: boolean;
  /** New calls go elsewhere. It ends with its last call. */
  leaving: boolean;
  /** The stream has ended. */
  over: boolean;
}
