import { BinaryWriter } from '@bufbuild/protobuf/wire';
import type { MethodDefinition } from '@grpc/grpc-js';

/** Copying fewer bytes costs less than avoiding the copy. */
export const LARGE_BYTES = 16_384;

/** The part of a generated message type that is used here. */
export interface AnswerType<Message> {
  encode(message: Message, writer: BinaryWriter): BinaryWriter;
}

const UINT32_MAX = 0xffff_ffff;

/** Writes the usual numbers without a BigInt for each. */
class NumberWriter extends BinaryWriter {
  override int64(value: string | number | bigint): this {
    if (typeof value === 'number' && value >= 0 && value <= UINT32_MAX) return this.uint32(value);
    return super.int64(value);
  }
}

/** Leaves large values out, and says whether there was one. */
class Small extends NumberWriter {
  isLarge = false;

  override bytes(value: Uint8Array): this {
    if (value.byteLength < LARGE_BYTES) return super.bytes(value);
    this.isLarge = true;
    return this;
  }
}

/** Keeps large values where they are: a message is a list of parts, and its length is known without a copy. */
class Gathering extends NumberWriter {
  /** Of the innermost message that is open, and of those around it. */
  #parts: Uint8Array[] = [];
  readonly #around: Uint8Array[][] = [];

  override fork(): this {
    this.#flush();
    this.#around.push(this.#parts);
    this.#parts = [];
    return this;
  }

  override join(): this {
    const inner = this.parts();
    this.#parts = this.#around.pop() ?? [];
    this.uint32(bytesOf(inner));
    this.#flush();
    this.#parts.push(...inner);
    return this;
  }

  override bytes(value: Uint8Array): this {
    if (value.byteLength < LARGE_BYTES) return super.bytes(value);
    this.uint32(value.byteLength);
    this.#flush();
    this.#parts.push(value);
    return this;
  }

  parts(): Uint8Array[] {
    this.#flush();
    return this.#parts;
  }

  #flush(): void {
    const small = this.finish();
    if (small.byteLength > 0) this.#parts.push(small);
  }
}

/** What grpc-js needs of an encoded message: it copies it behind the message's header. */
export class Gathered {
  readonly byteLength: number;

  constructor(readonly parts: readonly Uint8Array[]) {
    this.byteLength = bytesOf(parts);
  }

  copy(target: Uint8Array, start: number): number {
    let at = start;
    for (const part of this.parts) {
      target.set(part, at);
      at += part.byteLength;
    }
    return at - start;
  }
}

/**
 * The same method, without encoding large values again for each caller. All callers that get a value share its bytes,
 * and each answer copies them once, into the outgoing message. The generated code copies them five times.
 */
export function gathered<Request, Response>(
  method: MethodDefinition<Request, Response>,
  type: AnswerType<Response>,
): MethodDefinition<Request, Response> {
  const responseSerialize = (response: Response) => encoded(type, response) as Buffer;
  return { ...method, responseSerialize };
}

/** Either way with the members that grpc-js uses. */
export function encoded<Message>(type: AnswerType<Message>, message: Message): Buffer | Gathered {
  const writer = new Small();
  type.encode(message, writer);
  if (!writer.isLarge) {
    const { buffer, byteOffset, byteLength } = writer.finish();
    return Buffer.from(buffer, byteOffset, byteLength);
  }
  const gathering = new Gathering();
  type.encode(message, gathering);
  return new Gathered(gathering.parts());
}

function bytesOf(parts: readonly Uint8Array[]): number {
  let bytes = 0;
  for (const part of parts) bytes += part.byteLength;
  return bytes;
}
