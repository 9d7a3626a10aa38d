import { readFileSync } from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { type DescriptorProto, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { type ServerDuplexStream, type ServiceDefinition, status } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { credentialsOf, type Guard } from './guard.js';
import type { OpenStreams } from './open-streams.js';
import type { GrpcService } from './server.js';
import { statusOf } from './status.js';

/** What `npm run generate` has buf write: the contract, health and reflection itself. */
const DESCRIPTOR_SETS = ['descriptor', 'health', 'reflection'];

interface File {
  readonly bytes: Uint8Array;
  readonly dependencies: readonly string[];
}

/** As @grpc/reflection's proto-loader reads and writes the messages of reflection.proto. */
export interface ReflectionRequest {
  readonly host?: string;
  readonly messageRequest?: string;
  readonly fileByFilename?: string;
  readonly fileContainingSymbol?: string;
  readonly allExtensionNumbersOfType?: string;
}

class NotFound extends Error {}

/**
 * Answers reflection requests with the descriptors as buf wrote them, byte for byte. @grpc/reflection
 * gives the service definitions only: what it serves has been through proto-loader, which loses
 * `optional` and camel-cases the names, so that a strict registry refuses it.
 */
export class Reflection {
  readonly #files = new Map<string, File>();
  readonly #fileOfSymbol = new Map<string, string>();
  readonly #messages = new Set<string>();
  readonly #services: string[] = [];

  constructor() {
    for (const name of DESCRIPTOR_SETS) {
      const bytes = readFileSync(new URL(`./generated/${name}.binpb`, import.meta.url));
      for (const file of filesIn(bytes)) this.#index(file);
    }
  }

  /** The reflection services, v1 and v1alpha, which differ in their names only; for anybody whom the guard knows. */
  services(streams: OpenStreams, guard?: Guard): GrpcService[] {
    const definitions: ServiceDefinition[] = [];
    new ReflectionService({}).addToServer({
      addService: (definition: ServiceDefinition) => definitions.push(definition),
    });
    const ServerReflectionInfo = (stream: ServerDuplexStream<ReflectionRequest, object>) => {
      try {
        guard?.admit(credentialsOf(stream), 'ServerReflectionInfo');
      } catch (error) {
        stream.emit(
          'error',
          statusOf(error, () => {}),
        );
        return;
      }
      streams.add(stream);
      stream.on('data', (request: ReflectionRequest) => stream.write(this.answer(request)));
      stream.on('end', () => stream.end());
    };
    return definitions.map((definition) => ({ definition, implementation: { ServerReflectionInfo } }));
  }

  answer(request: ReflectionRequest): object {
    const common = { validHost: request.host, originalRequest: request };
    try {
      return { ...common, ...this.#find(request) };
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
      return { ...common, errorResponse: { errorCode: status.NOT_FOUND, errorMessage: error.message } };
    }
  }

  #find(request: ReflectionRequest): object {
    switch (request.messageRequest) {
      case 'listServices':
        return { listServicesResponse: { service: this.#services.map((name) => ({ name })) } };
      case 'fileByFilename':
        return this.#withDependencies(request.fileByFilename ?? '');
      case 'fileContainingSymbol': {
        const symbol = request.fileContainingSymbol ?? '';
        const file = this.#fileOfSymbol.get(symbol);
        if (file === undefined) throw new NotFound(`no file declares ${symbol}`);
        return this.#withDependencies(file);
      }
      case 'allExtensionNumbersOfType': {
        const baseTypeName = request.allExtensionNumbersOfType ?? '';
        if (!this.#messages.has(baseTypeName)) throw new NotFound(`there is no message ${baseTypeName}`);
        return { allExtensionNumbersResponse: { baseTypeName, extensionNumber: [] } };
      }
      default:
        throw new NotFound('none of these files has an extension');
    }
  }

  /** The file and everything that it imports, itself first. */
  #withDependencies(name: string): object {
    const wanted = new Set([name]);
    const fileDescriptorProto = [];
    // A set iterates over what is added meanwhile.
    for (const each of wanted) {
      const file = this.#files.get(each);
      if (file === undefined) throw new NotFound(`there is no file ${each}`);
      fileDescriptorProto.push(file.bytes);
      for (const dependency of file.dependencies) wanted.add(dependency);
    }
    return { fileDescriptorResponse: { fileDescriptorProto } };
  }

  #index(bytes: Uint8Array): void {
    const file = fromBinary(FileDescriptorProtoSchema, bytes);
    this.#files.set(file.name, { bytes, dependencies: file.dependency });
    const declare = (symbol: string) => this.#fileOfSymbol.set(symbol, file.name);
    const declareMessage = (scope: string, message: DescriptorProto) => {
      const symbol = `${scope}.${message.name}`;
      declare(symbol);
      this.#messages.add(symbol);
      for (const nested of message.nestedType) declareMessage(symbol, nested);
      for (const nested of message.enumType) declare(`${symbol}.${nested.name}`);
    };
    for (const message of file.messageType) declareMessage(file.package, message);
    for (const each of file.enumType) declare(`${file.package}.${each.name}`);
    for (const service of file.service) {
      const symbol = `${file.package}.${service.name}`;
      declare(symbol);
      this.#services.push(symbol);
      for (const method of service.method) declare(`${symbol}.${method.name}`);
    }
  }
}

/** The entries of a FileDescriptorSet, undecoded: its only field is `repeated FileDescriptorProto file = 1`. */
function* filesIn(set: Uint8Array): Iterable<Uint8Array> {
  const reader = new BinaryReader(set);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) yield reader.bytes();
    else reader.skip(wireType, field);
  }
}
