// Commit to the source first, then invalidate: a rebuild that began before cannot bring the old value back.
import { DibsClient } from '@dibs/client';

const dibs = new DibsClient();
const database = new Map([['price', 10]]);
const key = 'example:price';

const read = () => dibs.getOrRebuild(key, () => database.get('price'), { ttlMs: 60_000 });

const before = await read();
database.set('price', 12);
await dibs.invalidate({ keys: [key] });
const after = await read();

console.log(`${before}, then ${after}`);
dibs.close();
