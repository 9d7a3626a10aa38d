import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { connect as connectTcp } from 'node:net';
import { setImmediate as afterReceiving } from 'node:timers/promises';

/**
 * A connection for raw calls, over Node's HTTP/2. Node crashes if a stream is reset, or a connection destroyed, while it
 * handles received data: it frees the stream twice. Code that awaits an answer runs at that time too. So tests end
 * their connections here.
 */
export class Http2Connection {
  readonly session: ClientHttp2Session;

  /** Connects from `localAddress` if it is set: another address of this machine. */
  constructor(target: string, localAddress?: string) {
    const [host = '', port = ''] = target.split(':');
    const createConnection = () => connectTcp({ host, port: Number(port), localAddress });
    this.session = connect(`http://${target}`, localAddress === undefined ? {} : { createConnection });
    this.session.on('error', () => {});
  }

  get isOpen(): boolean {
    return !this.session.destroyed && !this.session.closed;
  }

  /** Opens a stream for one call. The test writes the request. */
  call(path: string, headers: OutgoingHttpHeaders = {}): ClientHttp2Stream {
    const stream = this.session.request({
      ...{ ':method': 'POST', ':path': path },
      ...{ 'content-type': 'application/grpc', te: 'trailers', ...headers },
    });
    stream.on('error', () => {});
    return stream;
  }

  /** Ends the connection and all of its calls. */
  async end(): Promise<void> {
    await afterReceiving();
    this.session.destroy();
  }
}

/** Returns the gRPC status of a call, or why it has none. */
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
