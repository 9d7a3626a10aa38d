import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { setImmediate as afterReceiving } from 'node:timers/promises';

/**
 * A connection of raw calls, over Node's HTTP/2. It frees a stream twice, and the process ends, if a stream is reset or
 * a connection is destroyed while it handles what it has received, and so also in what awaits an answer. So tests end
 * their connections here.
 */
export class Http2Connection {
  readonly session: ClientHttp2Session;

  /** From `localAddress`, if it is set: another address of this machine. */
  constructor(target: string, localAddress?: string) {
    const [host = '', port = ''] = target.split(':');
    const createConnection = () => connectTcp({ host, port: Number(port), localAddress });
    this.session = connect(`http://${target}`, localAddress === undefined ? {} : { createConnection });
    this.session.on('error', () => {});
  }

  get isOpen(): boolean {
    return !this.session.destroyed && !this.session.closed;
  }

  /** Opens a stream for one call. Its request is for the test to write. */
  call(path: string, headers: OutgoingHttpHeaders = {}): ClientHttp2Stream {
    const stream = this.session.request({
      ...{ ':method': 'POST', ':path': path },
      ...{ 'content-type': 'application/grpc', te: 'trailers', ...headers },
    });
    stream.on('error', () => {});
    return stream;
  }

  /** Ends it with all of its calls. */
  async end(): Promise<void> {
    await afterReceiving();
    this.session.destroy();
  }
}

/** The gRPC status of a call, or why there is none. */
export function endOf(stream: ClientHttp2Stream): Promise<string> {
  return new Promise((resolve) => {
    const done = (headers: Record<string, unknown>) => {
      if (headers['grpc-status'] !== undefined) resolve(String(headers['grpc-status']));
    };
    stream.on('response', done);
    stream.on('trailers', done);
    stream.on('error', (error: Error) => resolve(error.message));
    stream.on('close', () => resolve(`closed ${stream.rstCode}`));
    stream.resume();
  });
}
