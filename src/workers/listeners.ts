import { lookup } from 'node:dns/promises';
import { type AddressInfo, createServer, isIP, type ListenOptions, type Server, type Socket } from 'node:net';
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
   * address as it stands in `listen`. If an address is not available, closes the others and rejects.
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
  const failed = (error: unknown) => new Error(`cannot listen at ${address}: ${(error as Error).message}`);
  try {
    if (!address.startsWith('unix:')) return await openPort(address, accepted);
    const path = address.slice('unix://'.length);
    await freeSocketPath(path);
    return { address, servers: [await listening({ path }, accepted)] };
  } catch (error) {
    throw failed(error);
  }
}

/**
 * A name such as `localhost` may stand for several addresses: listens on one port at each available address, as in
 * grpc-js.
 */
async function openPort(address: string, accepted: (socket: Socket) => void): Promise<Opened> {
  const colon = address.lastIndexOf(':');
  const name = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  let port = Number(address.slice(colon + 1));
  const hosts = isIP(name) === 0 ? (await lookup(name, { all: true })).map((one) => one.address) : [name];
  const servers: Server[] = [];
  let why: unknown = new Error('the name has no address');
  for (const host of hosts) {
    try {
      const server = await listening({ host, port }, accepted);
      servers.push(server);
      port = (server.address() as AddressInfo).port;
    } catch (error) {
      why = error;
    }
  }
  if (servers.length === 0) throw why;
  return { address: address.replace(/\d+$/, String(port)), servers };
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
