// The least cost of a unary call: a bare grpc-js server. One call returns the received bytes. Another holds all calls
// with the same bytes until `ms` after the first of them. Prints the port that it listens on.
import { Server, ServerCredentials } from '@grpc/grpc-js';

const same = (bytes) => bytes;
const Echo = {
  path: '/bench.Echo/Echo',
  requestStream: false,
  responseStream: false,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};
const Hold = { ...Echo, path: '/bench.Echo/Hold' };
/** Takes spans as an OTLP collector does, and drops them. */
const Export = { ...Echo, path: '/opentelemetry.proto.collector.trace.v1.TraceService/Export' };
const ACCEPTED = Buffer.alloc(0);
const held = new Map();

function hold(call, callback) {
  const name = call.request.toString();
  let waiting = held.get(name);
  if (waiting === undefined) {
    waiting = [];
    held.set(name, waiting);
    setTimeout(
      () => {
        held.set(name, 'over');
        for (const answer of waiting) answer();
      },
      Number(name.split(' ')[0]),
    );
  }
  if (waiting === 'over') callback(null, call.request);
  else waiting.push(() => callback(null, call.request));
}

const server = new Server();
server.addService(
  { Echo, Hold, Export },
  {
    Echo: (call, callback) => callback(null, call.request),
    Hold: hold,
    Export: (_call, callback) => callback(null, ACCEPTED),
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
