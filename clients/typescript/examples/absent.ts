// The fact that the source has nothing is worth caching too, for a shorter time.
import { DibsClient } from '@dibs/client';

const dibs = new DibsClient();
let queries = 0;

const find = () =>
  dibs.getOrRebuild(
    'example:user:unknown',
    () => {
      queries += 1;
      return null;
    },
    { ttlMs: 60_000, absentTtlMs: 5_000 },
  );

await find();
const user = await find();

console.log(`${user === null ? 'no such user' : 'a user'}, after ${queries} query`);
dibs.close();
