// `read: 'store'` bypasses every near cache: it returns nothing that was invalidated before the call began.
import { DibsClient } from '@dibs/client';

const [writer, reader] = [new DibsClient(), new DibsClient()];
const database = new Map([['name', 'Ada']]);
const key = 'example:near';
const rebuild = () => database.get('name');

await reader.getOrRebuild(key, rebuild, { ttlMs: 60_000 });
const near = await reader.getOrRebuild(key, rebuild, { ttlMs: 60_000 });
database.set('name', 'Grace');
await writer.invalidate({ keys: [key] });
const store = await reader.getOrRebuild(key, rebuild, { ttlMs: 60_000, read: 'store' });

console.log(`${near}, then ${store}`);
for (const client of [writer, reader]) client.close();
