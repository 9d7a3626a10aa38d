// A failure is shared, so no other caller hammers a source that is down.
import { DibsClient, RebuildFailedError } from '@dibs/client';

const dibs = new DibsClient();
const options = { ttlMs: 60_000 };
const away = () => Promise.reject(new Error('the database is away'));

const own = await dibs.getOrRebuild('example:report', away, options).catch((error: Error) => error.message);
// Within the back-off: a second by default, doubled with each failure in a row.
const others = await dibs
  .getOrRebuild('example:report', () => 'never called', options)
  .catch((error: unknown) => (error instanceof RebuildFailedError ? error.message : 'something else'));

console.log(`${own}, and for others: ${others}`);
dibs.close();
