import { afterEach, expect, it } from 'vitest';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { PATIENT_ENV } from '../support/patience.js';
import { freePort } from '../support/redis-server.js';
import { listenAt, RollingLoad, replaceOneByOne } from '../support/rolling-load.js';

describeWithRedis('a rolling restart', () => {
  let fleet: Fleet | undefined;
  let load: RollingLoad | undefined;
  afterEach(async () => {
    await load?.stop();
    await fleet?.stop();
  });

  it('fails no call, and rebuilds each key once between its steps', async () => {
    fleet = await Fleet.start({ replicas: 0, env: PATIENT_ENV });
    const ports = await Promise.all([freePort(), freePort(), freePort()]);
    for (const port of ports) await fleet.addReplica(listenAt(port));
    load = new RollingLoad(ports, { plainCalls: true });
    expect(await load.rebuiltMoreThanOnce('before')).toEqual([]);
    await replaceOneByOne(fleet, ports, load);
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(load.answered).toBeGreaterThan(500);
  });
});
