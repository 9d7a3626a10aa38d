import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { OpenStreams } from '../../../src/grpc/open-streams.js';
import { reflectionServices } from '../../../src/grpc/reflection.js';

type Answer = Record<string, unknown>;

const [v1] = reflectionServices(new OpenStreams(), undefined);

/** Asks over a stream of its own, as grpc-js would pass it. */
function ask(request: object): Answer {
  const stream = Object.assign(new EventEmitter(), {
    answers: [] as Answer[],
    write: (answer: Answer) => stream.answers.push(answer) > 0,
    end: () => {},
  });
  const serve = v1?.implementation.ServerReflectionInfo as unknown as (stream: object) => void;
  serve(stream);
  stream.emit('data', request);
  const [answer, ...others] = stream.answers;
  expect(others).toEqual([]);
  return answer ?? {};
}

const symbol = (fileContainingSymbol: string) =>
  ask({ messageRequest: 'fileContainingSymbol', fileContainingSymbol });

/** The files in an answer. */
function filesOf(answer: Answer) {
  const { fileDescriptorProto } = answer.fileDescriptorResponse as { fileDescriptorProto: Uint8Array[] };
  return fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
}

const contract = fromBinary(
  FileDescriptorSetSchema,
  readFileSync('src/grpc/generated/descriptor.binpb'),
).file.find(({ name }) => name === 'dibs/v1/coordinator.proto')!;

describe('symbols', () => {
  const symbols = [
    ...contract.messageType.map(({ name }) => name),
    ...contract.enumType.map(({ name }) => name),
    ...contract.service.flatMap(({ name, method }) => [
      name,
      ...method.map((each) => `${name}.${each.name}`),
    ]),
  ];

  it('are all found, in the file as buf wrote it', () => {
    expect(symbols.length).toBeGreaterThan(50);
    for (const name of symbols) expect(filesOf(symbol(`dibs.v1.${name}`))).toEqual([contract]);
  });

  it('include the comments of the contract, byte for byte', () => {
    const answer = symbol('dibs.v1.CoordinatorService') as {
      fileDescriptorResponse: { fileDescriptorProto: Uint8Array[] };
    };
    const [bytes] = answer.fileDescriptorResponse.fileDescriptorProto;
    expect(Buffer.from(bytes!).equals(toBinary(FileDescriptorProtoSchema, contract))).toBe(true);
    const set = readFileSync('src/grpc/generated/descriptor.binpb');
    expect(set.includes(Buffer.from(bytes!))).toBe(true);
    const comments = contract.sourceCodeInfo?.location.map(({ leadingComments }) => leadingComments) ?? [];
    expect(comments.some((comment) => comment.includes('GetOrLock returns the value'))).toBe(true);
  });

  it('are found inside other messages', () => {
    const [file] = filesOf(symbol('grpc.health.v1.HealthCheckResponse.ServingStatus'));
    expect(file?.package).toBe('grpc.health.v1');
  });

  it('that do not exist are not found', () => {
    for (const name of ['', 'dibs.v1', 'dibs.v1.Nothing', '.dibs.v1.Hit', '__proto__', 'constructor']) {
      expect(symbol(name).errorResponse).toMatchObject({ errorCode: status.NOT_FOUND });
    }
  });
});

it('repeats the request, for clients that rely on it', () => {
  const request = { host: 'here', messageRequest: 'listServices' };
  expect(ask(request)).toMatchObject({ validHost: 'here', originalRequest: request });
});

it('finds no extensions, because there are none', () => {
  for (const allExtensionNumbersOfType of ['dibs.v1.Hit', 'dibs.v1.Nothing', 'constructor']) {
    expect(ask({ messageRequest: 'allExtensionNumbersOfType', allExtensionNumbersOfType })).toMatchObject({
      errorResponse: { errorCode: status.NOT_FOUND },
    });
  }
  expect(ask({ messageRequest: 'fileContainingExtension' }).errorResponse).toMatchObject({
    errorCode: status.NOT_FOUND,
  });
});
