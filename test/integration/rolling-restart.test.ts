import { afterEach, expect, it } from 'vitest';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { freePort } from '../support/redis-server.js';
import { answeredBy, RollingLoad } from '../support/rolling-load.js';

describeWithRedis('a rolling restart', () => {
  let fleet: Fleet | undefined;
  let load: RollingLoad | undefined;
  afterEach(async () => {
    await load?.stop();
    await fleet?.stop();
  });

  it('fails no call, and between its steps each key is rebuilt once', async () => {
    fleet = await Fleet.start({ replicas: 0 });
    const ports = await Promise.all([freePort(), freePort(), freePort()]);
    const listen = (port: number) => ({ DIBS_LISTEN: `127.0.0.1:${port}` });
    for (const port of ports) await fleet.addReplica(listen(port));
    load = new RollingLoad(ports, { plainCalls: true });
    expect(await load.rebuiltMoreThanOnce('before')).toEqual([]);
    for (const [at, port] of ports.entries()) {
      const leaving = fleet.replicas[at];
      leaving?.signal('SIGTERM');
      expect(await leaving?.ended).toEqual({ code: 0, signal: null });
      const come = await fleet.addReplica(listen(port));
      // Clients have found it again, and it works.
      await expect.poll(() => answeredBy(come.httpUrl), { timeout: 10_000 }).toBeGreaterThan(50);
      expect(await load.rebuiltMoreThanOnce(`after ${at}`)).toEqual([]);
    }
    await load.stop();
    expect(load.failures).toEqual([]);
    expect(load.answered).toBeGreaterThan(500);
  });
});
