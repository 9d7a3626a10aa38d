import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { Client, credentials } from '@grpc/grpc-js';
import { endWithThisProcess } from '../support/end-with-this-process.js';

/** As large as the publish of a small value, so that both transfer the same bytes. */
const REQUEST = Buffer.alloc(128);
const same = (bytes: Buffer) => bytes;

/** The client of a bare grpc-js server. */
export class EchoClient {
  readonly #client: Client;

  constructor(target: string) {
    this.#client = new Client(target, credentials.createInsecure());
  }

  call(bytes: Buffer = REQUEST): Promise<void> {
    return this.#unary('Echo', bytes);
  }

  /** Answered `ms` after the first call with this name. Later calls are answered at once. */
  hold(ms: number, name: string): Promise<void> {
    return this.#unary('Hold', Buffer.from(`${ms} ${name}`.padEnd(REQUEST.byteLength)));
  }

  #unary(method: string, bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(`/bench.Echo/${method}`, same, same, bytes, (error) =>
        error ? reject(error) : resolve(),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** A bare grpc-js server in a separate process, with a client. It shows the limit of any unary call. */
export class BareEcho {
  readonly client: EchoClient;

  private constructor(
    private readonly server: ChildProcess,
    /** `HOST:PORT`. It also accepts OTLP. */
    readonly target: string,
  ) {
    this.client = new EchoClient(target);
  }

  static async start(): Promise<BareEcho> {
    const server = spawn(process.execPath, ['test/bench/bare-echo.mjs'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    endWithThisProcess(server);
    const [port] = await once(createInterface({ input: server.stdout }), 'line');
    return new BareEcho(server, `127.0.0.1:${port}`);
  }

  get pid(): number {
    return this.server.pid ?? 0;
  }

  stop(): void {
    this.client.close();
    this.server.kill('SIGKILL');
  }
}
