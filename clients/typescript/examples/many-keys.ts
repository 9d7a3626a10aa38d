// Many keys in one call: cached values come at once, and one query loads the rest.
import { DibsClient } from '@dibs/client';

const dibs = new DibsClient();
const options = { ttlMs: 60_000 };
const names = ['a', 'b', 'c'];
const keyOf = (name: string) => `example:many:${name}`;
await dibs.set(keyOf('a'), 'cached', options);

const queries: string[][] = [];
const values = await dibs.getOrRebuildMany(
  names.map(keyOf),
  (keys) => {
    queries.push(keys);
    return Object.fromEntries(keys.map((key) => [key, 'rebuilt']));
  },
  options,
);

const each = names.map((name) => `${name} ${values.get(keyOf(name))}`).join(', ');
console.log(`${each}, by ${queries.length} query for ${queries.flat().length} keys`);
dibs.close();
