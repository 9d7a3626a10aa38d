import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseStoreUrl } from '../../../src/config/store-url.js';
import { StoreUnavailable } from '../../../src/coordination/ports/value-store.js';
import { StoreConnection } from '../../../src/redis/connection.js';
import { MUCH_PATIENCE } from '../../support/patience.js';
import { until } from '../../support/until.js';

let connection: StoreConnection;
let troubles: string[];
beforeEach(() => {
  troubles = [];
  // Port 1 is for a service that no machine has.
  connection = new StoreConnection(parseStoreUrl('redis+cluster://127.0.0.1:1'), {
    ...MUCH_PATIENCE,
    onTrouble: ({ why }) => troubles.push(why),
  });
});
afterEach(() => connection.close());

const fault = () => connection.ping().then(undefined, (error: unknown) => error);

it('knows that a step to a cluster without a connection was not sent, and says why in its own words', async () => {
  await until(() => troubles.length > 0);
  const error = await fault();
  expect(error).toBeInstanceOf(StoreUnavailable);
  expect(error).toMatchObject({ how: 'gone', untaken: true });
  expect(String(error)).toMatch(/connection refused/);
});

it('says the same before it knows the reason', async () => {
  expect(String(await fault())).toMatch(/there is no connection yet/);
});
