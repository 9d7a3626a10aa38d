// The least that a unary call costs here: a bare grpc-js server that gives back the bytes that came.
// Prints the port that it listens on.
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
const server = new Server();
server.addService({ Echo }, { Echo: (call, callback) => callback(null, call.request) });
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(port);
});
