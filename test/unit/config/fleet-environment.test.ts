import { readFileSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/config.js';
import { TestAuthority } from '../../support/certificates.js';
import { fault } from '../../support/config-faults.js';

const authority = new TestAuthority();
afterAll(() => authority.close());
const inFleet = { DIBS_QUORUM_NODES: 'redis://a,redis://b,redis://c', DIBS_STORE_URL: 'redis://store:6379' };
const { key } = authority.issue();

it('TLS of Redis is checked by an authority only where there is TLS', () => {
  const tls = { ...inFleet, DIBS_STORE_URL: 'rediss://store:6379', DIBS_REDIS_CA: authority.ca };
  expect(loadConfig(tls).fleet?.redisCa).toBe(readFileSync(authority.ca, 'utf8'));
  const nodesOnly = 'rediss://a,redis://b,redis://c';
  const { fleet } = loadConfig({ ...inFleet, DIBS_REDIS_CA: authority.ca, DIBS_QUORUM_NODES: nodesOnly });
  expect(fleet?.redisCa).toBeDefined();
  for (const url of ['rediss+cluster://a', 'rediss+sentinel://a/m']) {
    const env = { ...inFleet, DIBS_REDIS_CA: authority.ca, DIBS_STORE_URL: url };
    expect(loadConfig(env).fleet?.redisCa).toBeDefined();
  }
  expect(fault({ ...inFleet, DIBS_REDIS_CA: authority.ca })).toBe(
    'DIBS_REDIS_CA: is set while no Redis URL begins with rediss',
  );
  expect(fault({ ...tls, DIBS_REDIS_CA: key })).toMatch(/^DIBS_REDIS_CA: '.*' is not a PEM certificate/);
});

it('sentinels have a user of their own, and only sentinels', () => {
  const url = 'redis+sentinel://of-the-servers:word@a/m';
  const env = { ...inFleet, DIBS_STORE_URL: url, DIBS_SENTINEL_PASSWORD: 'p%@/:' };
  const store = (more = {}) => loadConfig({ ...env, ...more }).fleet?.store;
  expect(store()).toMatchObject({ password: 'word', ofSentinels: { password: 'p%@/:' } });
  expect(store({ DIBS_SENTINEL_USERNAME: 'me' })).toMatchObject({
    username: 'of-the-servers',
    ofSentinels: { username: 'me', password: 'p%@/:' },
  });
  expect(store({ DIBS_SENTINEL_PASSWORD: '' })).not.toHaveProperty('ofSentinels');
  expect(fault({ ...env, DIBS_SENTINEL_PASSWORD: '', DIBS_SENTINEL_USERNAME: 'me' })).toBe(
    'DIBS_SENTINEL_USERNAME: is set while DIBS_SENTINEL_PASSWORD is not; set both',
  );
  expect(fault({ ...env, DIBS_STORE_URL: 'redis://a' })).toBe(
    'DIBS_SENTINEL_PASSWORD: is set while DIBS_STORE_URL is neither redis+sentinel:// nor rediss+sentinel://',
  );
});
