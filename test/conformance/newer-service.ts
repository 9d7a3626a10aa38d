import { MessageProxy } from './message-proxy.js';

/** A field that no version has yet, with a text in it. */
const LATER_FIELD = Buffer.from([...varint((1_999 << 3) | 2), 5, ...Buffer.from('later')]);

/**
 * A service one minor version ahead, as far as a client can see it: it stands before a real one, and every message
 * that passes has a field that this version does not know, in both directions.
 */
export function newerService(target: string): Promise<MessageProxy> {
  return MessageProxy.before(target, () => ({ up: withLaterField, down: withLaterField }));
}

function withLaterField(message: Buffer): Buffer {
  return Buffer.concat([message, LATER_FIELD]);
}

function* varint(value: number): Generator<number> {
  let left = value;
  for (; left > 127; left >>>= 7) yield (left & 127) | 128;
  yield left;
}
