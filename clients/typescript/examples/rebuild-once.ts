// Two callers miss the same key at the same time. One rebuilds, and both get the value.
import { DibsClient } from '@dibs/client';

interface User {
  readonly id: number;
  readonly name: string;
}

let queries = 0;
async function fromDatabase(id: number): Promise<User> {
  queries += 1;
  return { id, name: 'Ada' };
}

const dibs = new DibsClient();
// Two clients stand for two processes. Within one client, equal calls are joined before the service is asked.
const other = new DibsClient();
const options = { ttlMs: 60_000 };

const [one, two] = await Promise.all([
  dibs.getOrRebuild('example:user:42', () => fromDatabase(42), options),
  other.getOrRebuild('example:user:42', () => fromDatabase(42), options),
]);

console.log(`${one?.name} and ${two?.name} after ${queries} query`);
dibs.close();
other.close();
