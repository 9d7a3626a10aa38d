// HTTP/2 frames by hand. Plain JavaScript, so that a process that floods a replica can run it without a build.

/**
 * @param {number} type
 * @param {number} flags
 * @param {number} stream
 * @param {Buffer} [body]
 * @returns {Buffer}
 */
export function frame(type, flags, stream, body = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.byteLength, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

/**
 * A literal header that is in no table.
 *
 * @param {string} name
 * @param {string} value
 * @returns {Buffer}
 */
export function literal(name, value) {
  return Buffer.concat([
    Buffer.of(0),
    ...[name, value].flatMap((text) => [length(text.length), Buffer.from(text, 'latin1')]),
  ]);
}

/** @param {number} bytes */
function length(bytes) {
  return bytes < 127 ? Buffer.of(bytes) : Buffer.of(127, ((bytes - 127) & 127) | 128, (bytes - 127) >> 7);
}

/**
 * The headers of a gRPC call.
 *
 * @param {string} path
 * @param {readonly (readonly [string, string])[]} more
 * @returns {[string, string][]}
 */
export function callHeaders(path, ...more) {
  return [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'dibs'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more.map(([name, value]) => /** @type {[string, string]} */ ([name, value])),
  ];
}
