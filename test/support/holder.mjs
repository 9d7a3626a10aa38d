// A holder in a separate process, to be killed: `node holder.mjs TARGET KEY LEASE_MS` takes the lease of a key, prints
// the answer as one line of JSON, and then rebuilds forever. Plain JavaScript, so that tests, demo and bench can run it
// without a build.
import { credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const [target, key, leaseMs] = process.argv.slice(2);
const includeDirs = [new URL('../../proto', import.meta.url).pathname];
const loaded = loadSync('dibs/v1/coordinator.proto', {
  includeDirs,
  longs: Number,
  enums: String,
  oneofs: true,
});
const { CoordinatorService } = loadPackageDefinition(loaded).dibs.v1;
const stub = new CoordinatorService(target, credentials.createInsecure());

stub.getOrLock({ key, leaseMs: Number(leaseMs), holder: 'holder' }, (error, answer) => {
  if (error) {
    console.error(error.message);
    process.exit(1);
  }
  console.log(JSON.stringify(answer));
  setInterval(() => {}, 60_000);
});
