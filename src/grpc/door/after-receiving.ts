/**
 * Calls `act` when HTTP/2 has handled everything that it is receiving now. Node frees a stream twice, and the process
 * ends, if this happens earlier: one call resets a stream, the next frame says that its client has reset it too, and
 * while that is handled, another reset or the end of the connection sends everything that is waiting. Events of streams
 * and connections, and promises that they settle, belong to the receiving. Only a reset with CANCEL waits by itself.
 */
export function afterReceiving(act: () => void): void {
  setImmediate(act);
}
