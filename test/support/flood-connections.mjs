// Opens and closes connections to a replica, as many as possible, from a separate process:
// `node flood-connections.mjs TARGET KIND PARALLEL MS`. The kind says what each one sends, and closes at the first bytes
// of an answer: `nothing` closes at once, `garbage` is no protocol, `preface` begins HTTP/2, `hello` begins TLS. The
// server's part of a handshake costs much, and the same hello can be sent again and again. Prints how many it opened.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setPriority } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { frame } from './http2-frames.mjs';

// A real attacker has separate machines, so this one must not win by taking the replica's processor.
setPriority(19);
const [target, kind, parallel, ms] = process.argv.slice(2);
const [host, port] = target.split(':');

/** The first message of a handshake, as a library sends it. */
async function helloOf() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connectTls({
    port: server.address().port,
    host: '127.0.0.1',
    servername: 'localhost',
    ALPNProtocols: ['h2', 'http/1.1'],
  });
  client.on('error', () => {});
  const [socket] = await once(server, 'connection');
  const [hello] = await once(socket, 'data');
  client.destroy();
  server.close();
  return hello;
}

const SENT = {
  nothing: () => undefined,
  garbage: () => Buffer.alloc(100, 'x'),
  preface: () => Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)]),
  hello: helloOf,
};
const sent = await SENT[kind]();
const untilMs = performance.now() + Number(ms);
let opened = 0;
let connected = 0;

async function flood() {
  while (performance.now() < untilMs) {
    opened += 1;
    const socket = connect({ host, port: Number(port) });
    socket.on('error', () => {});
    socket.on('connect', () => {
      connected += 1;
      if (sent === undefined) socket.destroy();
      else socket.write(sent);
    });
    socket.on('data', () => socket.destroy());
    const isClosed = new Promise((resolve) => socket.once('close', resolve));
    await Promise.race([isClosed, sleep(untilMs - performance.now())]);
    socket.destroy();
  }
}

await Promise.all(Array.from({ length: Number(parallel) }, flood));
console.log(JSON.stringify({ opened, connected }));
process.exit(0);
