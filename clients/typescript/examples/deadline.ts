// The service knows how long a key's rebuilds take. It refuses a wait that is too short at once, and says when to
// retry.
import { DibsBusyError, DibsClient } from '@dibs/client';

const [holder, hurried] = [new DibsClient(), new DibsClient()];
const key = 'example:deadline';
let begun = () => {};
const rebuild = async () => {
  begun();
  await new Promise((resolve) => setTimeout(resolve, 500));
  return 'v';
};
const refresh = () => holder.getOrRebuild(key, rebuild, { ttlMs: 1, refresh: true });
for (let at = 0; at < 10; at += 1) await refresh();

const isRunning = new Promise<void>((resolve) => {
  begun = resolve;
});
const running = refresh();
await isRunning;
const error = await hurried
  .getOrRebuild(key, rebuild, { ttlMs: 1, waitMs: 150 })
  .catch((reason: unknown) => reason);
const said = error instanceof DibsBusyError ? error : new DibsBusyError('unspecified', 0, 0);

console.log(`${said.reason}, with a time to retry: ${said.retryAfterMs > 0 ? 'yes' : 'no'}`);
await running;
for (const client of [holder, hurried]) client.close();
