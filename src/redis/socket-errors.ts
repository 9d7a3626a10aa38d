import { AbstractConnector, type Redis } from 'ioredis';

type Stream = Redis['stream'];

const streams = new WeakMap<AbstractConnector, Stream>();

/**
 * ioredis hears only the first error of a socket, and a socket with TLS can have two: if a handshake is given up, the
 * certificate may be refused and the server may complain, in that order. The second one would end the process. Each socket
 * of ioredis, those to sentinels included, is first kept in this property.
 */
Object.defineProperty(AbstractConnector.prototype, 'stream', {
  get(this: AbstractConnector): Stream | undefined {
    return streams.get(this);
  },
  set(this: AbstractConnector, stream: Stream) {
    stream.on('error', () => {});
    streams.set(this, stream);
  },
});
