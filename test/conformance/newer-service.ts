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
/** A field that no version has yet, with a text in it. */
const LATER_FIELD = Buffer.from([...varint((1_999 << 3) | 2), 5, ...Buffer.from('later')]);

/**
 * A service one minor version ahead, as far as a client can see it: it stands before a real one, and every message
 * that passes has a field that this version does not know, in both directions.
 */
export class NewerService {
  private constructor(
    private readonly server: Server,
    private readonly client: Client,
    readonly target: string,
  ) {}

  static async before(target: string): Promise<NewerService> {
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
      handlers[name] = (there: ServerDuplexStream<Buffer, Buffer>) => pass(client, path, there);
    }
    server.addService(definition as ServiceDefinition, handlers as never);
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    return new NewerService(server, client, `127.0.0.1:${port}`);
  }

  async stop(): Promise<void> {
    this.server.forceShutdown();
    this.client.close();
  }
}

/** On the wire a call with one message is a stream with one message. */
function pass(client: Client, path: string, there: ServerDuplexStream<Buffer, Buffer>): void {
  const { metadata } = there as unknown as { metadata: Metadata };
  const here = client.makeBidiStreamRequest(path, same, same, metadata.clone(), {
    deadline: there.getDeadline(),
  });
  there.on('data', (message: Buffer) => here.write(withLaterField(message)));
  there.on('end', () => here.end());
  there.on('cancelled', () => here.cancel());
  here.on('metadata', (initial: Metadata) => there.sendMetadata(initial));
  here.on('data', (message: Buffer) => there.write(withLaterField(message)));
  here.on('error', () => {});
  here.on('status', ({ code, details, metadata: trailer }) => {
    if (code === 0) there.end(trailer);
    else there.emit('error', { code, details, metadata: trailer });
  });
}

function withLaterField(message: Buffer): Buffer {
  return Buffer.concat([message, LATER_FIELD]);
}

function* varint(value: number): Generator<number> {
  let left = value;
  for (; left > 127; left >>>= 7) yield (left & 127) | 128;
  yield left;
}
