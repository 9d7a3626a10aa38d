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
  expect(fault({ ...inFleet, DIBS_REDIS_CA: authority.ca })).toBe(
    'DIBS_REDIS_CA: is set while no Redis URL is rediss://',
  );
  expect(fault({ ...tls, DIBS_REDIS_CA: key })).toMatch(/^DIBS_REDIS_CA: '.*' is not a PEM certificate/);
});
