import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What a proxy does with what comes: nothing unusual by default. */
export interface Trouble {
  /** Each piece of data is held back for so long, in both directions. */
  readonly delayMs?: number;
  /** Data goes nowhere while connections stay open: the whole of it, or the replies only. */
  readonly swallow?: 'all' | 'replies';
}

/** A TCP proxy on the loopback whose link goes bad when told to. */
export class TcpProxy {
  #trouble: Trouble = {};
  readonly #sockets = new Set<Socket>();
  /** Those that have lost data. */
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
   * From now on, until the next word. A connection that has lost data is reset when the trouble ends: TCP
   * never leaves a gap, and a reader behind one takes the answers of others for its own.
   */
  behave(trouble: Trouble): void {
    this.#trouble = trouble;
    if (trouble.swallow !== undefined) return;
    for (const socket of this.#gaping) cut(socket);
    this.#gaping.clear();
  }

  /** All connections end at once, with a reset. */
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
    // In the order of its coming, whatever the delays: what is due later holds up what came behind it.
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

/** With a reset, except where Node 20 cannot: one that has said its goodbye would never close, nor let the process end. */
function cut(socket: Socket): void {
  if (socket.writable && !socket.connecting) socket.resetAndDestroy();
  else socket.destroy();
}
