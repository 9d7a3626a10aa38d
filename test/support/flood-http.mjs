// Attacks a replica's pages from a separate process: `node flood-http.mjs URL KIND CONNECTIONS MS`. KIND is the path of
// requests that follow each other's answers, or `pipelined`: probes, as many as fit, without reading. A closed connection
// is opened again after 5 ms. Prints how many requests it sent, and how many connections it opened.
import { connect } from 'node:net';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

// A real attacker has separate machines, so this one must not win by taking the replica's processor.
setPriority(19);
const [url, kind, connections, ms] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const untilMs = performance.now() + Number(ms);
let opened = 0;
let connected = 0;

const path = kind === 'pipelined' ? '/healthz' : kind;
const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
const IN_PIECE = 1_000;
const piece = kind === 'pipelined' ? request.repeat(IN_PIECE) : request;

async function flood() {
  while (performance.now() < untilMs) {
    const socket = connect({ host: hostname, port: Number(port) });
    connected += 1;
    const send = () => {
      opened += kind === 'pipelined' ? IN_PIECE : 1;
      return socket.write(piece);
    };
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      // Each answer that has begun is followed by a request.
      if (kind !== 'pipelined' && bytes.includes('HTTP/1.1 ')) send();
    });
    if (kind === 'pipelined') {
      socket.on('drain', send);
    }
    send();
    const isClosed = new Promise((resolve) => socket.once('close', resolve));
    await Promise.race([isClosed, sleep(untilMs - performance.now())]);
    socket.destroy();
    await sleep(5);
  }
}

await Promise.all(Array.from({ length: Number(connections) }, flood));
console.log(JSON.stringify({ opened, connected }));
process.exit(0);
