/// <reference lib="dom" />
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Caller } from '../support/caller.js';
import { ConsolePage, describeWithChromium, startBrowser } from '../support/console-page.js';
import { faintTexts } from '../support/contrast.js';
import { describeWithRedis } from '../support/describe-with-redis.js';
import { Fleet } from '../support/fleet.js';
import { Replica } from '../support/replica.js';
import { until } from '../support/until.js';

const TRACE_URL = 'https://traces.example.com/trace/{trace_id}?uiFind={span_id}';
const MARKUP = '<img src=x onerror=alert(1)>';
/** The page updates every second, and a busy machine takes longer. */
const SHOWN_WITHIN_MS = 30_000;
const LOOKS = [
  { scheme: 'light', width: 1280 },
  { scheme: 'dark', width: 1280 },
  { scheme: 'light', width: 360 },
  { scheme: 'dark', width: 360 },
] as const;

const shown = (holds: () => Promise<boolean>) => until(holds, SHOWN_WITHIN_MS);

/** Starts `size` callers that wait for a key. Resolves to their answers. */
function crowd(caller: Caller, key: string, size: number): Promise<unknown> {
  return Promise.all(Array.from({ length: size }, () => caller.getOrLock({ key, waitMs: 25_000 })));
}

describeWithChromium('the console', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser?.close());

  describeWithRedis('of a replica in a fleet', () => {
    let fleet: Fleet;
    let here: Caller;
    let there: Caller;

    beforeAll(async () => {
      fleet = await Fleet.start({ replicas: 2, lockNodes: 3, env: { DIBS_TRACE_URL: TRACE_URL } });
      [here, there] = fleet.replicas.map(({ target }) => new Caller(target)) as [Caller, Caller];
      await Promise.all([here.connect(), there.connect()]);
    });
    afterAll(async () => {
      here?.close();
      there?.close();
      await fleet?.stop();
    });

    const open = (look = {}) => ConsolePage.open(browser, fleet.replicas[0]?.httpUrl ?? '', look);

    it('shows a stampede while it lasts, and how its waits ended', async () => {
      const console = await open();
      const { token } = await here.lease({ key: MARKUP, holder: 'builder 7', leaseMs: 20_000 });
      const waiting = crowd(here, MARKUP, 150);
      const leaseRow = async () => (await console.rows('leases')).find(([key]) => key?.includes(MARKUP));

      await shown(async () => (await leaseRow())?.[5] === '150');
      const [key, holder, reason, , left] = (await leaseRow()) ?? [];
      expect(key).toBe(`default ${MARKUP}`);
      expect(holder).toBe('builder 7');
      expect(reason).toBe('miss');
      expect(left).toMatch(/^1\d\.\d s$/);
      expect(await console.page.locator('#leases img').count()).toBe(0);
      expect(await console.text('#figures')).toMatch(/150\s+Waiting|Waiting\s+150/);
      expect(await console.text('#now-about')).toMatch(
        /^150 callers wait for 1 key, the longest for [\d.]+ m?s\.$/,
      );
      const [now] = await console.rows('now');
      expect(now).toEqual([`default ${MARKUP}`, expect.stringMatching(/s$/), '150']);
      await shown(async () => /s$/.test((await console.rows('now'))[0]?.[1] ?? ''));

      await here.publishText(MARKUP, token, 'a value');
      await waiting;
      await shown(async () => (await leaseRow()) === undefined);
      expect(await console.text('#now-about')).toBe('No caller waits on this replica.');
      await console.page.locator('summary', { hasText: 'Second by second' }).click();
      const secondRow = async () =>
        (await console.rows('seconds')).find(([, , , , ended]) => ended?.includes('150 publish'));
      await shown(async () => (await secondRow()) !== undefined);
      const byPublish = (await console.rows('waits')).find(([ended]) => ended === 'publish');
      expect(Number(byPublish?.[1])).toBeGreaterThanOrEqual(150);
      expect(byPublish?.[3]).toMatch(/s$/);
      await console.page.mouse.move(0, 0);
      await console.page.locator('#chart').focus();
      await console.page.keyboard.press('End');
      await shown(async () => {
        if ((await console.text('#readout')).includes('150 publish')) return true;
        await console.page.keyboard.press('ArrowLeft');
        return (await console.text('#readout')).includes('150 publish');
      });
      expect(await console.page.locator('#chart').getAttribute('aria-valuetext')).toContain('150 publish');
      const calls = await console.rows('answers');
      expect(calls.find(([answer]) => answer === 'hit, fresh')?.[2]).not.toBe('0');
      expect(console.complaints).toEqual([]);
      await console.close();
    });

    it('shows callers that wait here for a lease of another replica', async () => {
      const console = await open();
      const { token } = await there.lease({ key: 'leased there', leaseMs: 20_000 });
      const waiting = crowd(here, 'leased there', 12);
      await shown(async () => (await console.text('#leases-about')).includes('12 callers wait here'));
      expect((await console.rows('leases')).filter(([key]) => key?.includes('leased there'))).toEqual([]);
      expect((await console.rows('now')).map(([key, , count]) => [key, count])).toEqual([
        ['default leased there', '12'],
      ]);
      await there.publishText('leased there', token, 'a value');
      await waiting;
      expect(console.complaints).toEqual([]);
      await console.close();
    });

    it('links a lease to the trace of its rebuild, if it is recorded', async () => {
      const console = await open();
      const [traceId, spanId] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
      const traceparent = `00-${traceId}-${spanId}`;
      await here.lease({ key: 'recorded', leaseMs: 20_000 }, { traceparent: `${traceparent}-01` });
      await here.lease({ key: 'not recorded', leaseMs: 20_000 }, { traceparent: `${traceparent}-00` });
      const links = () =>
        console.page.locator('#leases a').evaluateAll((all) => all.map((link) => link.getAttribute('href')));
      await shown(async () => (await links()).length > 0);
      expect(await links()).toEqual([`https://traces.example.com/trace/${traceId}?uiFind=${spanId}`]);
      expect(console.complaints).toEqual([]);
      await console.close();
    });

    it('finds a key among hundreds, and keeps the rest of the page in sight', async () => {
      const console = await open();
      const keys = Array.from({ length: 300 }, (_, at) => `among many ${at}.`);
      const leases = await Promise.all(
        keys.map((key) => here.lease({ namespace: 'many', key, leaseMs: 60_000 })),
      );
      await shown(async () => (await console.rows('leases')).length >= keys.length);
      const decides = await console.page.locator('#decides-title').boundingBox();
      expect(decides?.y).toBeLessThan(2_000);
      await console.page.locator('#filter').fill('MANY 217.');
      expect((await console.rows('leases')).map(([key]) => key)).toEqual(['many among many 217.']);
      expect(await console.text('#leases-rest')).toMatch(
        /more leases are held, not shown, or not what the filter asks for/,
      );
      await console.page.locator('#filter').fill('');
      await shown(async () => (await console.rows('leases')).length >= keys.length);
      await Promise.all(
        keys.map((key, at) => here.release({ namespace: 'many', key, token: leases[at]!.token })),
      );
      expect(console.complaints).toEqual([]);
      await console.close();
    });

    it.each(LOOKS)('is readable, and no wider than the window: $scheme, $width', async (look) => {
      const console = await open(look);
      const long = `${look.scheme} ${look.width} ${'that/goes/on/'.repeat(40)}`;
      const { token } = await here.lease({ key: long, holder: 'h'.repeat(60), leaseMs: 20_000 });
      const waiting = crowd(here, long, 3);
      await shown(async () => (await console.rows('leases')).some(([key]) => key?.includes(long)));
      await console.page.locator('summary').click();
      const { looked, faint } = await console.page.evaluate(faintTexts, 4.5);
      expect(looked).toBeGreaterThan(80);
      expect(faint).toEqual([]);
      const widths = await console.page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return { scrollWidth, clientWidth };
      });
      expect(widths).toEqual({ scrollWidth: look.width, clientWidth: look.width });
      await here.publishText(long, token, 'a value');
      await waiting;
      expect(console.complaints).toEqual([]);
      await console.close();
    });

    // The last test of this fleet, because it takes away the quorum.
    it('shows and announces lost lock nodes and the step down', async () => {
      const console = await open();
      const states = async () => (await console.rows('nodes')).map(([, state]) => state ?? '');
      await shown(async () => (await states()).filter((state) => /^voting/.test(state)).length === 3);
      expect((await console.rows('nodes')).map(([node]) => `redis://${node}`)).toEqual(
        fleet.lockNodes.map(({ url }) => url),
      );
      await Promise.all(fleet.lockNodes.slice(0, 2).map((node) => node.kill()));
      await shown(async () => (await states()).filter((state) => /^voting/.test(state)).length === 1);
      await here.lease({ key: 'by the store alone' });
      await shown(async () => (await console.text('#mode')) === 'Quorum lost');
      expect(await console.text('#degraded')).toContain('Quorum lost');
      expect(await console.text('#steps')).toContain('Quorum and store → Quorum lost');
      expect(await console.text('#figures')).toContain('1 of 3');
      expect(await console.page.locator('#announcements').textContent()).toContain('Quorum lost');
      const { faint } = await console.page.evaluate(faintTexts, 4.5);
      expect(faint).toEqual([]);
      expect(console.complaints).toEqual([]);
      await console.close();
    });

    it('shows the number of its workers', async () => {
      const main = await fleet.addReplica({ DIBS_WORKERS: '2' });
      const console = await ConsolePage.open(browser, main.httpUrl);
      await shown(async () =>
        (await console.text('#replica')).includes(`gRPC at ${main.target} · 2 of 2 workers`),
      );
      expect(console.complaints).toEqual([]);
      await console.close();
    });
  });

  describe('of an embedded replica', () => {
    let replica: Replica;
    beforeAll(async () => {
      replica = await Replica.start();
    });
    afterAll(() => replica?.kill());

    it('shows which replica it is, and that it is embedded', async () => {
      const console = await ConsolePage.open(browser, replica.httpUrl);
      const about = await console.text('#replica');
      expect(about).toMatch(/^Serving · embedded · /);
      expect(about).toContain(`gRPC at ${replica.target}`);
      expect(about).toContain(`process ${replica.pid}`);
      expect(await console.page.locator('#nodes').isVisible()).toBe(false);
      expect(await console.text('#mode')).toBe('This process');
      expect(console.complaints).toEqual([]);
      await console.close();
    });

    it('has a policy that forbids inline scripts, and markup from strings', async () => {
      const console = await ConsolePage.open(browser, replica.httpUrl);
      const tried = await console.page.evaluate(async () => {
        const attempts = [
          () => document.createElement('button').setAttribute('onclick', 'alert(1)'),
          () => document.body.insertAdjacentHTML('beforeend', '<p>markup</p>'),
          () => fetch('http://127.0.0.1:1/'),
        ];
        const ends = attempts.map(async (attempt) => attempt());
        return (await Promise.allSettled(ends)).map(({ status }) => status);
      });
      expect(tried).toEqual(['rejected', 'rejected', 'rejected']);
      const forbidden = () =>
        console.complaints.filter((complaint) => complaint.includes('the policy forbids'));
      await until(() => forbidden().some((complaint) => complaint.includes('connect-src')));
      expect(forbidden().some((complaint) => complaint.includes('trusted-types'))).toBe(true);
      await console.close();
    });

    it('does not update while it is paused', async () => {
      const console = await ConsolePage.open(browser, replica.httpUrl);
      const uptime = () => console.text('#replica');
      await console.page.keyboard.press('Tab');
      await console.page.keyboard.press('Enter');
      const pause = console.page.locator('#pause');
      expect(await pause.getAttribute('aria-pressed')).toBe('true');
      const before = await uptime();
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expect(await uptime()).toBe(before);
      await console.page.keyboard.press('Enter');
      await shown(async () => (await uptime()) !== before);
      expect(console.complaints).toEqual([]);
      await console.close();
    });

    it('has no animations if the reader prefers reduced motion', async () => {
      const caller = new Caller(replica.target);
      await caller.lease({ key: 'a key', leaseMs: 20_000 });
      const console = await ConsolePage.open(browser, replica.httpUrl);
      const transition = () =>
        console.page.locator('#leases .fill').evaluate((bar) => getComputedStyle(bar).transitionDuration);
      await shown(async () => (await console.rows('leases')).length === 1);
      expect(await transition()).toBe('1s');
      await console.page.emulateMedia({ reducedMotion: 'reduce' });
      expect(await transition()).toBe('0s');
      await console.close();
      caller.close();
    });

    // The last test, because it ends the replica.
    it('reports that the replica has gone', async () => {
      const console = await ConsolePage.open(browser, replica.httpUrl);
      await replica.kill();
      await shown(async () => (await console.text('#connection')).startsWith('The replica does not answer'));
      expect(await console.text('#connection')).toMatch(/The figures are from \d\d:\d\d:\d\d\.$/);
      await console.close();
    });
  });
});
