// Sends small messages on sessions, as many as HTTP/2 takes, from a separate process:
// `node message-flood.mjs TARGET KIND SESSIONS MS TOKEN`. Each session has its own connection. One that ends is opened
// again after 5 ms. Prints how many messages were sent, and how many sessions were opened.
import { connect } from 'node:http2';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

// A real attacker has separate machines, so this one must not win by taking the replica's processor.
setPriority(19);
const [target, kind, sessions, ms, token] = process.argv.slice(2);
const untilMs = performance.now() + Number(ms);
let opened = 0;
let connected = 0;

/** Each is a SessionRequest. */
const HELLO = Buffer.of(0x0a, 0);
const KINDS = {
  empty: Buffer.alloc(0),
  cancellations: Buffer.of(0x1a, 1, 7),
  'calls without a request': Buffer.of(0x12, 2, 8, 1),
};
const framed = (/** @type {Buffer} */ message) =>
  Buffer.concat([Buffer.of(0, 0, 0, 0, message.byteLength), message]);
const message = framed(KINDS[/** @type {keyof typeof KINDS} */ (kind)]);
const perWrite = Math.floor(16_384 / message.byteLength);
const messages = Buffer.concat(Array.from({ length: perWrite }, () => message));

async function flood() {
  while (performance.now() < untilMs) {
    const connection = connect(`http://${target}`);
    connection.on('error', () => {});
    const stream = connection.request({
      ':method': 'POST',
      ':path': '/dibs.v1.CoordinatorService/Session',
      'content-type': 'application/grpc',
      te: 'trailers',
      authorization: `Bearer ${token}`,
    });
    let isOpen = true;
    const over = new Promise((resolve) => {
      for (const event of ['end', 'close']) stream.once(event, resolve);
    }).then(() => {
      isOpen = false;
    });
    stream.on('error', () => {});
    stream.resume();
    connected += 1;
    stream.write(framed(HELLO));
    while (isOpen && performance.now() < untilMs) {
      const taken = new Promise((resolve) => stream.write(messages, resolve));
      await Promise.race([taken, over, sleep(100)]);
      opened += perWrite;
      // What waits in this process was not sent.
      while (isOpen && stream.writableLength > 0 && performance.now() < untilMs) await sleep(1);
    }
    connection.destroy();
    await sleep(5);
  }
}

await Promise.all(Array.from({ length: Number(sessions) }, flood));
console.log(JSON.stringify({ opened, connected }));
process.exit(0);
