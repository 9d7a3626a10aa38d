import { readFileSync } from 'node:fs';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { Reflection, type ReflectionRequest } from '../../../src/grpc/reflection.js';

const reflection = new Reflection();
const ask = (request: ReflectionRequest) => reflection.answer(request) as Record<string, unknown>;
const symbol = (fileContainingSymbol: string) =>
  ask({ messageRequest: 'fileContainingSymbol', fileContainingSymbol });

/** The files that an answer carries. */
function filesOf(answer: Record<string, unknown>) {
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

  it('are found inside of others', () => {
    const [file] = filesOf(symbol('grpc.health.v1.HealthCheckResponse.ServingStatus'));
    expect(file?.package).toBe('grpc.health.v1');
  });

  it('that are none are not found', () => {
    for (const name of ['', 'dibs.v1', 'dibs.v1.Nothing', '.dibs.v1.Hit', '__proto__', 'constructor']) {
      expect(symbol(name).errorResponse).toMatchObject({ errorCode: status.NOT_FOUND });
    }
  });
});

it('repeats what it was asked, for clients that count on it', () => {
  const request = { host: 'here', messageRequest: 'listServices' };
  expect(ask(request)).toMatchObject({ validHost: 'here', originalRequest: request });
});

it('says that it has no extensions', () => {
  const extensions = (allExtensionNumbersOfType: string) =>
    ask({ messageRequest: 'allExtensionNumbersOfType', allExtensionNumbersOfType });
  expect(extensions('dibs.v1.Hit').allExtensionNumbersResponse).toEqual({
    baseTypeName: 'dibs.v1.Hit',
    extensionNumber: [],
  });
  expect(extensions('dibs.v1.Nothing').errorResponse).toMatchObject({ errorCode: status.NOT_FOUND });
  expect(ask({ messageRequest: 'fileContainingExtension' }).errorResponse).toMatchObject({
    errorCode: status.NOT_FOUND,
  });
});
