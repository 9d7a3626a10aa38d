import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

const CHANNEL = '+switch-master';

/** A sentinel that always names the same master, after a delay that a test sets, and can announce failovers. */
export class FakeSentinel {
  /** The delay before it names the master. */
  delayMs = 0;
  /** How many times it was asked for the master. */
  asked = 0;
  readonly #sockets = new Set<Socket>();
  readonly #subscribed = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly masterPort: number,
  ) {}

  static async start(masterPort: number): Promise<FakeSentinel> {
    const server = createServer();
    const sentinel = new FakeSentinel(server, masterPort);
    server.on('connection', (socket) => sentinel.#accept(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return sentinel;
  }

  get url(): string {
    return `redis+sentinel://127.0.0.1:${(this.server.address() as AddressInfo).port}/values`;
  }

  get subscribers(): number {
    return this.#subscribed.size;
  }

  /** Announces to all subscribers that another server is now the master. */
  tellFailover(): void {
    for (const socket of this.#subscribed)
      socket.write(`>3\r\n${bulk('message')}${bulk(CHANNEL)}${bulk('values')}`);
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#subscribed.delete(socket);
    });
    socket.on('data', (data) => {
      for (const command of data.toString().split(/^\*/m).slice(1))
        this.#answer(socket, command.toLowerCase());
    });
  }

  #answer(socket: Socket, command: string): void {
    if (command.includes('get-master-addr-by-name')) {
      this.asked += 1;
      setTimeout(() => socket.write(`*2\r\n${bulk('127.0.0.1')}${bulk(`${this.masterPort}`)}`), this.delayMs);
    } else if (command.includes('sentinels')) socket.write('*0\r\n');
    else if (command.includes('\nsubscribe')) {
      this.#subscribed.add(socket);
      socket.write(`>3\r\n${bulk('subscribe')}${bulk(CHANNEL)}:1\r\n`);
    } else if (command.includes('\nhello')) socket.write(`%1\r\n${bulk('proto')}:3\r\n`);
    else socket.write('+OK\r\n');
  }
}

function bulk(text: string): string {
  return `$${text.length}\r\n${text}\r\n`;
}
