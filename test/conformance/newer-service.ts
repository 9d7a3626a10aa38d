import { MessageProxy } from './message-proxy.js';

/** A text field that no version has yet. */
const LATER_FIELD = Buffer.from([...varint((1_999 << 3) | 2), 5, ...Buffer.from('later')]);

/**
 * Looks to a client like a service one minor version ahead. It is a proxy of a real one that adds an unknown field to
 * every message in both directions.
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
