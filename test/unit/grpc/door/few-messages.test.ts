import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { passOnFewMessages } from '../../../../src/grpc/door/few-messages.js';

function trial() {
  const stream = new Readable({ read() {} });
  const chunks: Buffer[] = [];
  passOnFewMessages(stream);
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  /** What is passed on of these chunks, in bytes. */
  const pass = async (...received: Buffer[]) => {
    for (const chunk of received) stream.push(chunk);
    stream.push(null);
    await new Promise((resolve) => stream.on('end', resolve));
    return { bytes: chunks.map((it) => it.byteLength), all: Buffer.concat(chunks) };
  };
  return { pass };
}

function messageOf(bytes: number): Buffer {
  const message = Buffer.alloc(5 + bytes, 1);
  message.writeUInt8(0, 0);
  message.writeUInt32BE(bytes, 1);
  return message;
}
const messages = (count: number, bytes: number) =>
  Buffer.concat(Array.from({ length: count }, () => messageOf(bytes)));

it('passes on at most 64 messages at once', async () => {
  const all = messages(150, 0);
  expect(await trial().pass(all)).toEqual({ bytes: [320, 320, 110], all });
});

it('passes on few messages, and parts of a large one, as they come', async () => {
  expect((await trial().pass(messages(64, 3))).bytes).toEqual([512]);
  const large = messageOf(300_000);
  const parts = [large.subarray(0, 4), large.subarray(4, 70_000), large.subarray(70_000)];
  expect((await trial().pass(...parts, messages(65, 0))).bytes).toEqual([4, 69_996, 230_005, 320, 5]);
});

it.each([1, 2, 3, 4, 5, 6, 7, 11, 500])('finds the ends of messages in chunks of %i bytes', async (size) => {
  const all = Buffer.concat([messages(70, 2), messageOf(1_000), messages(130, 0)]);
  const received = [];
  for (let at = 0; at < all.byteLength; at += size) received.push(all.subarray(at, at + size));
  expect(await trial().pass(...received)).toMatchObject({ all });
  // After whole messages, so the last ones are passed on as in one chunk.
  const last = await trial().pass(...received, messages(65, 0));
  expect(last.bytes.slice(-2)).toEqual([320, 5]);
});
