import { DibsClient } from '@dibs/client';

const dibs = new DibsClient(); // DIBS_TARGET, else 127.0.0.1:50051
const user = await dibs.getOrRebuild(
  'user:42',
  async () => ({ name: 'Ada' }), // your database
  { ttlMs: 60_000, staleMs: 600_000 },
);
console.log(user?.name);
dibs.close();
