import {
  Client,
  credentials,
  type Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceDefinition,
} from '@grpc/grpc-js';
import { CoordinatorServiceService as contract } from '../../src/grpc/generated/dibs/v1/coordinator.js';

const same = (bytes: Buffer) => bytes;

/** One call that the proxy forwards. On the wire, a unary call is a stream with one message. */
export interface Passing {
  /** Replaces a message to the replica. Undefined drops it. A promise holds up this message only. */
  up(message: Buffer): Buffer | undefined | Promise<Buffer>;
  /** Replaces a message to the client. */
  down(message: Buffer): Buffer;
}

/** Decides how to forward a call with this gRPC path. Undefined if it has ended the call instead. */
export type Pass = (path: string, there: ServerDuplexStream<Buffer, Buffer>) => Passing | undefined;

/** A proxy between clients and a replica that sees each message. */
export class MessageProxy {
  private constructor(
    private readonly server: Server,
    private readonly client: Client,
    readonly target: string,
  ) {}

  static async before(target: string, pass: Pass): Promise<MessageProxy> {
    const client = new Client(target, credentials.createInsecure());
    const server = new Server();
    const definition: Record<string, unknown> = {};
    const handlers: Record<string, unknown> = {};
    for (const [name, { path }] of Object.entries(contract)) {
      definition[name] = {
        ...{ path, requestStream: true, responseStream: true },
        ...{
          requestSerialize: same,
          requestDeserialize: same,
          responseSerialize: same,
          responseDeserialize: same,
        },
      };
      handlers[name] = (there: ServerDuplexStream<Buffer, Buffer>) => {
        const passing = pass(path, there);
        if (passing !== undefined) through(client, path, there, passing);
      };
    }
    server.addService(definition as ServiceDefinition, handlers as never);
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    return new MessageProxy(server, client, `127.0.0.1:${port}`);
  }

  async stop(): Promise<void> {
    this.server.forceShutdown();
    this.client.close();
  }
}

function through(
  client: Client,
  path: string,
  there: ServerDuplexStream<Buffer, Buffer>,
  passing: Passing,
): void {
  const { metadata } = there as unknown as { metadata: Metadata };
  const here = client.makeBidiStreamRequest(path, same, same, metadata.clone(), {
    deadline: there.getDeadline(),
  });
  there.on('data', (message: Buffer) => {
    const said = passing.up(message);
    if (said instanceof Promise) said.then((late) => here.write(late));
    else if (said !== undefined) here.write(said);
  });
  there.on('end', () => here.end());
  for (const gone of ['cancelled', 'error']) there.on(gone, () => here.cancel());
  here.on('metadata', (initial: Metadata) => there.sendMetadata(initial));
  here.on('data', (message: Buffer) => there.write(passing.down(message)));
  here.on('error', () => {});
  here.on('status', ({ code, details, metadata: trailer }) => {
    if (code === 0) there.end(trailer);
    else there.emit('error', { code, details, metadata: trailer });
  });
}
