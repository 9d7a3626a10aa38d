import { readFileSync } from 'node:fs';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { type ServerDuplexStream, type ServiceDefinition, status } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import type { Guard } from '../access/guard.js';
import { admit } from './credentials.js';
import type { OpenStreams } from './open-streams.js';
import type { GrpcService } from './server.js';
import { statusOf } from './status.js';

/** The descriptors that buf writes in `npm run generate`, with comments: the contract, health and reflection. */
const DESCRIPTOR_SETS = ['descriptor', 'health', 'reflection'];

const METHOD = 'ServerReflectionInfo';

/** @grpc/reflection keeps its index in plain objects, which have these names. */
const INHERITED = new Set(Object.getOwnPropertyNames(Object.prototype));

/** A message of reflection.proto as @grpc/reflection reads it: `messageRequest` names the field that is set. */
interface ReflectionRequest {
  readonly host?: string;
  readonly messageRequest?: 'fileByFilename' | 'fileContainingSymbol' | 'allExtensionNumbersOfType';
  readonly fileByFilename?: string;
  readonly fileContainingSymbol?: string;
  readonly allExtensionNumbersOfType?: string;
}

export type ReflectionStream = ServerDuplexStream<ReflectionRequest, object>;

/**
 * The reflection services, v1 and v1alpha, for every identity that the guard knows. The package gets buf's own
 * descriptors. Those of a service definition went through proto-loader, which loses `optional` and camel-cases the
 * names, so a strict registry refuses them.
 */
export function reflectionServices(streams: OpenStreams, guard: Guard | undefined): GrpcService[] {
  const services: GrpcService[] = [];
  const descriptors = { all: { fileDescriptorProtos: DESCRIPTOR_SETS.flatMap(filesOf) } };
  new ReflectionService(descriptors as never).addToServer({
    addService: (definition: ServiceDefinition, implementation: object) => {
      const { ServerReflectionInfo: answer } = implementation as {
        ServerReflectionInfo(stream: object): void;
      };
      const ServerReflectionInfo = (stream: ReflectionStream) => {
        const fail = (error: unknown) => {
          stream.emit(
            'error',
            statusOf(error, () => {}),
          );
        };
        let count = () => {};
        if (guard !== undefined) {
          try {
            const visitor = admit(guard, stream, METHOD);
            count = () => {
              guard.readmit(visitor, METHOD);
              guard.spend(visitor.identity);
            };
          } catch (error) {
            fail(error);
            return;
          }
        }
        streams.add(stream);
        answer(guarded(stream, count, fail));
      };
      services.push({ definition, implementation: { ServerReflectionInfo } });
    },
  });
  return services;
}

/**
 * The stream as the package uses it. `count` counts each request as a call of its identity, or throws. Answers the
 * requests that the package must not see.
 */
function guarded(stream: ReflectionStream, count: () => void, fail: (error: unknown) => void): object {
  let over = false;
  return {
    on: (event: 'data' | 'end', listener: (request?: ReflectionRequest) => void) =>
      stream.on(event, (request: ReflectionRequest) => {
        if (over) return;
        try {
          if (event === 'data') count();
        } catch (error) {
          over = true;
          fail(error);
          return;
        }
        const name = request?.messageRequest && request[request.messageRequest];
        if (name === undefined || !INHERITED.has(name)) return listener(request);
        const errorResponse = { errorCode: status.NOT_FOUND, errorMessage: `Not found: ${name}` };
        stream.write({ validHost: request.host, originalRequest: request, errorResponse });
      }),
    write: (response: object) => {
      if (stream.write(response)) return;
      // Its client does not read: no further request is read either.
      stream.pause();
      stream.once('drain', () => stream.resume());
    },
    end: () => stream.end(),
  };
}

/** The files of one set, each in bytes. */
function filesOf(set: string): Uint8Array[] {
  const bytes = readFileSync(new URL(`./generated/${set}.binpb`, import.meta.url));
  return fromBinary(FileDescriptorSetSchema, bytes).file.map((file) =>
    toBinary(FileDescriptorProtoSchema, file),
  );
}
