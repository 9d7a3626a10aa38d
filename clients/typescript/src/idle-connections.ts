import { ChannelCredentials } from '@grpc/grpc-js';

type Connecting = Parameters<ChannelCredentials['_createSecureConnector']>;
type Connector = ReturnType<ChannelCredentials['_createSecureConnector']>;
type Socket = Awaited<ReturnType<Connector['connect']>>['socket'];

/**
 * The given credentials, over connections that let the process end. A session is a stream that stays open, and gRPC
 * keeps the process alive for each open stream. Here only the timer of each call's deadline does, and it ends with the
 * call.
 */
export class IdleConnections extends ChannelCredentials {
  constructor(private readonly security: ChannelCredentials) {
    super();
  }

  _isSecure(): boolean {
    return this.security._isSecure();
  }

  /** Clients of one process share connections where they can. */
  _equals(other: ChannelCredentials): boolean {
    return other instanceof IdleConnections && this.security._equals(other.security);
  }

  _createSecureConnector(...to: Connecting): Connector {
    const connector = this.security._createSecureConnector(...to);
    return {
      connect: async (socket) => {
        const connected = await connector.connect(socket);
        letProcessEnd(connected.socket);
        return connected;
      },
      waitForReady: () => connector.waitForReady(),
      getCallCredentials: () => connector.getCallCredentials(),
      destroy: () => connector.destroy(),
    };
  }
}

function letProcessEnd(socket: Socket): void {
  socket.unref();
  // gRPC calls it for the first stream of a connection.
  socket.ref = () => socket;
}
