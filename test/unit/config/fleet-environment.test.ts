import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/config.js';
import { TestAuthority } from '../../support/certificates.js';
import { fault } from '../../support/config-faults.js';

const authority = new TestAuthority();
afterAll(() => authority.close());
const inFleet = { DIBS_QUORUM_NODES: 'redis://a,redis://b,redis://c', DIBS_STORE_URL: 'redis://store:6379' };
const { key } = authority.issue();

it('an authority for Redis is accepted only if a URL uses TLS', () => {
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
  expect(fault({ ...tls, DIBS_REDIS_CA: key })).toMatch(/^DIBS_REDIS_CA: '.*' has no PEM certificate/);
  const bundle = readFileSync(authority.ca, 'utf8');
  for (const rest of ['AAAA\n-----END CERTIFICATE-----\n', 'AAAA\n']) {
    writeFileSync(join(authority.dir, 'bundle'), `${bundle}-----BEGIN CERTIFICATE-----\n${rest}`);
    const broken = { ...tls, DIBS_REDIS_CA: join(authority.dir, 'bundle') };
    expect(fault(broken)).toMatch(/^DIBS_REDIS_CA: '.*' has a broken PEM certificate: /);
  }
});

it('sentinels have their own user and password, and only sentinels', () => {
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

/** `count` groups of three nodes. */
const groups = (count: number) =>
  Array.from({ length: count }, (_, at) =>
    ['a', 'b', 'c'].map((host) => `redis://${host}${at}:7000`).join(','),
  ).join(' ; ');

it('lock nodes may be in several groups of 3, 5 or 7', () => {
  const load = (nodes: string) => loadConfig({ ...inFleet, DIBS_QUORUM_NODES: nodes }).fleet?.lockGroups;
  const sizes = (nodes: string) => load(nodes)?.map((group) => group.length);
  expect(sizes(groups(1))).toEqual([3]);
  expect(sizes(groups(16))).toEqual(Array.from({ length: 16 }, () => 3));
  // The groups may differ in size.
  expect(sizes(`${groups(1)};redis://d,redis://e,redis://f,redis://g,redis://h`)).toEqual([3, 5]);
  expect(load(groups(2))?.[1]?.map(({ host }) => host)).toEqual(['a1', 'b1', 'c1']);
});

it('a fault of a group names the group and the node', () => {
  const faultOf = (nodes: string) => fault({ ...inFleet, DIBS_QUORUM_NODES: nodes });
  expect(faultOf(groups(17))).toBe('DIBS_QUORUM_NODES: lists 17 groups of nodes; set at most 16');
  expect(faultOf(`${groups(1)};redis://x`)).toBe('DIBS_QUORUM_NODES: group 2 lists 1 node(s); set 3, 5 or 7');
  for (const empty of [`${groups(1)};`, `${groups(1)}; ;${groups(1).replaceAll('0', '1')}`]) {
    expect(faultOf(empty)).toBe("DIBS_QUORUM_NODES: group 2 has no nodes; set 3, 5 or 7, or remove its ';'");
  }
  expect(faultOf(`${groups(1)};redis://x,redis://y,redis://z:0`)).toMatch(
    'DIBS_QUORUM_NODES: node 3 of group 2 is not redis://HOST:PORT',
  );
  expect(faultOf(`${groups(1)};redis://x,redis://B0:7000/3,redis://z`)).toBe(
    'DIBS_QUORUM_NODES: node 2 of group 1 and node 2 of group 2 are both b0:7000; each must be a separate Redis',
  );
  expect(faultOf(`${groups(1)};redis://x,redis://y,redis://x`)).toBe(
    'DIBS_QUORUM_NODES: node 1 of group 2 and node 3 of group 2 are both x:6379; each must be a separate Redis',
  );
});
