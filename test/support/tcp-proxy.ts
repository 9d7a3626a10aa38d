import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** How a proxy disturbs the data; by default not at all. */
export interface Trouble {
  /** The delay of each piece of data, in both directions. */
  readonly delayMs?: number;
  /** Drops all data, or only the replies, while connections stay open. */
  readonly swallow?: 'all' | 'replies';
}

/** A TCP proxy on the loopback whose link can be disturbed. */
export class TcpProxy {
  #trouble: Trouble = {};
  readonly #sockets = new Set<Socket>();
  /** Connections that have lost data. */
  readonly #gaping = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly target: number,
  ) {
    server.on('connection', (near) => this.#join(near));
  }

  static async start(target: number): Promise<TcpProxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new TcpProxy(server, target);
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /**
   * Applies until the next call. A connection that has lost data is reset when the trouble ends: TCP never leaves a gap,
   * and a reader behind one would match replies to the wrong requests.
   */
  behave(trouble: Trouble): void {
    this.#trouble = trouble;
    if (trouble.swallow !== undefined) return;
    for (const socket of this.#gaping) cut(socket);
    this.#gaping.clear();
  }

  /** Resets all connections at once. */
  reset(): void {
    for (const socket of this.#sockets) cut(socket);
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.server.close(resolve));
    this.reset();
    await closed;
  }

  #join(near: Socket): void {
    const far = connect(this.target, '127.0.0.1');
    this.#carry(near, far, false);
    this.#carry(far, near, true);
  }

  #carry(from: Socket, to: Socket, replies: boolean): void {
    this.#sockets.add(from);
    // In the order of arrival, whatever the delays: data that is due later also holds what came after it.
    const held: { readonly dueMs: number; readonly data: Buffer }[] = [];
    const pump = (): void => {
      for (let next = held[0]; next !== undefined; next = held[0]) {
        const leftMs = next.dueMs - performance.now();
        if (leftMs > 0) {
          setTimeout(pump, leftMs);
          return;
        }
        held.shift();
        if (to.writable) to.write(next.data);
      }
    };
    from.on('data', (data) => {
      const { delayMs = 0, swallow } = this.#trouble;
      if (swallow === 'all' || (swallow === 'replies' && replies)) {
        this.#gaping.add(from).add(to);
        return;
      }
      held.push({ dueMs: performance.now() + delayMs, data });
      if (held.length === 1) pump();
    });
    from.on('error', () => {});
    from.on('close', () => {
      this.#sockets.delete(from);
      this.#gaping.delete(from);
      to.destroy();
    });
  }
}

/**
 * Resets a connection. A half-closed one is destroyed, because in Node 20 it would never close, or let the process end.
 */
function cut(socket: Socket): void {
  if (socket.writable && !socket.connecting) socket.resetAndDestroy();
  else socket.destroy();
}
