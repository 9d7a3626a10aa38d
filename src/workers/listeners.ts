import { type AddressInfo, createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { atEachAddress } from '../grpc/each-address.js';
import { freeSocketPath } from '../grpc/unix-socket.js';

/** The sockets that listen for gRPC. They stay open when workers end, and so does a port that was a free one. */
export class Listeners {
  private constructor(
    /** With the actual ports. */
    readonly addresses: readonly string[],
    private readonly servers: readonly Server[],
  ) {}

  /**
   * Listens at `HOST:PORT`, `[IPV6]:PORT` or `unix:///path` each. `accepted` gets each connection, unread, with the
   * address as written in `listen`. If an address is not available, closes the others and rejects.
   */
  static async open(
    listen: readonly string[],
    accepted: (socket: Socket, address: string) => void,
  ): Promise<Listeners> {
    const servers: Server[] = [];
    const addresses: string[] = [];
    try {
      for (const address of listen) {
        const opened = await openAt(address, (socket) => accepted(socket, address));
        servers.push(...opened.servers);
        addresses.push(opened.address);
      }
      return new Listeners(addresses, servers);
    } catch (error) {
      for (const server of servers) server.close();
      throw error;
    }
  }

  /** Listens no longer. Connections that were passed on are not touched. */
  close(): void {
    for (const server of this.servers) server.close();
  }
}

interface Opened {
  readonly address: string;
  readonly servers: readonly Server[];
}

async function openAt(address: string, accepted: (socket: Socket) => void): Promise<Opened> {
  const servers: Server[] = [];
  const listen = async (at: ListenOptions) => {
    const server = await listening(at, accepted);
    servers.push(server);
    return server;
  };
  try {
    if (!address.startsWith('unix:')) {
      const listenAt = async (host: string, port: number) =>
        ((await listen({ host, port })).address() as AddressInfo).port;
      return { address: await atEachAddress(address, listenAt), servers };
    }
    const path = address.slice('unix://'.length);
    await freeSocketPath(path);
    await listen({ path });
    return { address, servers };
  } catch (error) {
    for (const server of servers) server.close();
    throw new Error(`cannot listen at ${address}: ${(error as Error).message}`);
  }
}

function listening(at: ListenOptions, accepted: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    // Unread: what a client sends at once belongs to the worker.
    const server = createServer({ pauseOnConnect: true, noDelay: true }, accepted);
    server.once('error', reject);
    server.listen(at, () => {
      server.off('error', reject);
      // Without a descriptor left, a connection is not accepted, and the next one is tried again.
      server.on('error', () => {});
      resolve(server);
    });
  });
}
