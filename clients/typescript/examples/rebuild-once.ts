// Two callers miss the same key at once: one rebuilds, both have the value.
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
// Two clients stand for two processes: inside one, equal calls are joined before anybody is asked.
const other = new DibsClient();
const options = { ttlMs: 60_000 };

const [one, two] = await Promise.all([
  dibs.getOrRebuild('example:user:42', () => fromDatabase(42), options),
  other.getOrRebuild('example:user:42', () => fromDatabase(42), options),
]);

console.log(`${one?.name} and ${two?.name} after ${queries} query`);
dibs.close();
other.close();
