import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/config.js';
import { ConfigError, Faults } from '../../../src/config/faults.js';
import { readPolicyFile } from '../../../src/config/policy-file.js';
import { defaultPolicy } from '../../../src/coordination/words/policy.js';

const { limits } = loadConfig({});
const base = defaultPolicy(limits);
function read(text: string) {
  const faults = Faults.none();
  return { policies: readPolicyFile(text, base, faults), faults: faults.all };
}
const shop = (said: string) => read(`namespaces: { shop: { ${said} } }`);

describe('a policy', () => {
  it('has the values of the file, and defaults for the rest', () => {
    const text = `
      namespaces:
        shop:
          stale: { serve: forbid, ms: 60000 }
          ttl_jitter: 0.1
          early_refresh_beta: 1
          on_loss: fail
          on_late: degrade
          max_rebuilds: 10
          failure_backoff_ms: 500
          failure_backoff_max_ms: 600
          lease_min_ms: 200
          lease_max_ms: 300
          lease_hold_max_ms: 400
          keys_in_traces: clear
        other_shop: {}
    `;
    const { policies, faults } = read(text);
    expect(faults).toEqual([]);
    expect(policies.get('shop')).toEqual({
      stale: 'forbid',
      staleMs: 60_000,
      ttlJitter: 0.1,
      earlyRefreshBeta: 1,
      onLoss: 'fail',
      onLate: 'degrade',
      maxRebuilds: 10,
      failureBackoffMs: 500,
      failureBackoffMsMax: 600,
      leaseMsMin: 200,
      leaseMsMax: 300,
      leaseHoldMsMax: 400,
      keysInTraces: 'clear',
    });
    expect(policies.get('other_shop')).toEqual(base);
    expect(policies.get('unknown')).toBeUndefined();
  });

  it('may set for stale values only whether, or only how long', () => {
    const of = (said: string) => shop(said).policies.get('shop');
    expect(of('stale: forbid')).toEqual({ ...base, stale: 'forbid' });
    expect(of('stale: { ms: 5 }')).toEqual({ ...base, staleMs: 5 });
    expect(of('stale: { serve: forbid }')).toEqual({ ...base, stale: 'forbid' });
  });

  it.each([
    ['ttl_jitter', 0, 1, [-0.1, 1.1, '"0.1"']],
    ['early_refresh_beta', 0, 10, [-1, 10.1]],
    ['max_rebuilds', 0, 1_000_000, [-1, 1_000_001, 0.5]],
    ['failure_backoff_ms', 0, 300_000, [-1, 300_001, 0.5]],
    // Not below failure_backoff_ms, which is 1000 here.
    ['failure_backoff_max_ms', 1_000, 86_400_000, [-1, 86_400_001, 1_000.5], 0],
    ['lease_min_ms', 100, 60_000, [99, 60_001, 100.5]],
    ['lease_max_ms', 100, 60_000, [99, 60_001, 100.5]],
    // Not below lease_max_ms, which is 60000 here.
    ['lease_hold_max_ms', 60_000, 86_400_000, [86_400_001, 60_000.5], 100],
  ] as const)('bounds %s', (name, min, max, outside, said: number = min) => {
    for (const good of [min, max]) expect(shop(`${name}: ${good}`).faults).toEqual([]);
    for (const bad of outside) {
      expect(shop(`${name}: ${bad}`).faults).toEqual([
        expect.stringMatching(`^namespaces.shop.${name}: .* within ${said} to ${max}$`),
      ]);
    }
  });

  it('bounds how long values are served stale', () => {
    for (const good of [0, 31_536_000_000]) expect(shop(`stale: { ms: ${good} }`).faults).toEqual([]);
    for (const bad of [-1, 31_536_000_001, 0.5]) {
      expect(shop(`stale: { ms: ${bad} }`).faults).toEqual([
        expect.stringMatching('^namespaces.shop.stale: '),
      ]);
    }
  });

  it.each(['stale: maybe', 'on_loss: panic', 'keys_in_traces: yes', 'stale: { serve: maybe }'])(
    'cannot have %s',
    (said) => {
      expect(shop(said).faults).toEqual([expect.stringMatching(`^namespaces.shop.${said.split(':')[0]}: `)]);
    },
  );

  it('may not contradict itself', () => {
    expect(shop('lease_min_ms: 300, lease_max_ms: 300').faults).toEqual([]);
    expect(shop('lease_min_ms: 301, lease_max_ms: 300').faults).toEqual([
      'namespaces.shop.lease_min_ms: 301 is above lease_max_ms, which is 300',
    ]);
    expect(shop('failure_backoff_max_ms: 999').faults).toEqual([
      'namespaces.shop.failure_backoff_max_ms: 999 is below failure_backoff_ms, which is 1000',
    ]);
    expect(shop('lease_hold_max_ms: 59999').faults).toEqual([
      'namespaces.shop.lease_hold_max_ms: 59999 is below lease_max_ms, which is 60000',
    ]);
  });
});

describe('the file', () => {
  it('may be empty', () => {
    for (const text of ['', '# nothing yet', 'namespaces:', '{}']) {
      expect(read(text)).toEqual({ policies: new Map(), faults: [] });
    }
  });

  it('has no unknown names, and no namespace that a call could not name', () => {
    expect(shop('ttl_jiter: 0').faults.join()).toMatch('ttl_jiter');
    expect(read('namespace: {}').faults.join()).toMatch('namespace');
    expect(read('namespaces: { "a b": {} }').faults.join()).toMatch('name 1');
    expect(read(`namespaces: { ${'n'.repeat(65)}: {} }`).faults).toHaveLength(1);
    expect(read(`namespaces: { ${'n'.repeat(64)}: {} }`).faults).toEqual([]);
  });

  it.each([
    ['namespaces: { "a b": {} }', /^namespaces \(name 1\): is not a namespace: 1 to 64 of A-Z/],
    ['namespaces: [1]', /^namespaces: is not a map from namespaces to policies$/],
    ['namespaces: { a: 5 }', /^namespaces\.a: is not a policy: a map such as/],
    [
      'namespaces: { a: { foo: 1 } }',
      /^namespaces\.a: foo: not known; known are stale, ttl_jitter, .*keys_in_traces$/,
    ],
    ['foo: 1', /^foo: not known; known are namespaces$/],
    ['my-secret: 1', /^…: not known; known are namespaces$/],
    ['- 1', /^is not a map with `namespaces`$/],
  ])('reports the rule for %j', (text, fault) => {
    expect(read(text).faults).toEqual([expect.stringMatching(fault)]);
  });

  it('is YAML of the right shape, without duplicates', () => {
    for (const bad of [
      'namespaces: [',
      'just text',
      '- a',
      'namespaces: { a: {}, a: {} }',
      'namespaces: 5',
    ]) {
      expect(read(bad).faults).toHaveLength(1);
    }
  });

  it('is shown shortly in its faults, also what contains itself', () => {
    for (const [said, text] of [
      ['&a [*a]', 'a list'],
      ['&a { b: *a }', 'a map'],
      ['.nan', 'NaN'],
      ['.inf', 'Infinity'],
      ['null', 'null'],
    ]) {
      const what = `${text} is not a whole number within 0 to 1000000`;
      expect(shop(`max_rebuilds: ${said}`).faults).toEqual([`namespaces.shop.max_rebuilds: ${what}`]);
      expect(shop(`on_loss: ${said}`).faults).toEqual([
        `namespaces.shop.on_loss: ${text} is not one of degrade, fail`,
      ]);
    }
    expect(read('namespaces: &a { shop: *a }').faults).toHaveLength(1);
    expect(read('&a { namespaces: *a }').faults).toHaveLength(1);
    const [fault = ''] = read(`namespaces: { ? ${'x'.repeat(100_000)} : {} }`).faults;
    expect(fault).toMatch(/^namespaces \(name 1\): is not a namespace/);
    const faults = Faults.none();
    faults.add('namespaces', 'x'.repeat(100_000));
    expect(faults.all[0]).toMatch(/^namespaces: x{988}… and 99\d{3} more characters$/);
  });

  it('has at most 100 faults of its own, and the number of the others', () => {
    const wrong = (many: number) =>
      read(['namespaces:', ...Array.from({ length: many }, (_, at) => `  n${at}: 1`)].join('\n')).faults;
    expect(wrong(100)).toHaveLength(100);
    expect(wrong(1_000)).toHaveLength(101);
    expect(wrong(1_000)[100]).toBe('has 900 more faults');
  });

  it('is set by DIBS_CONFIG, and its faults are reported with the others', () => {
    const env = { DIBS_CONFIG: '/etc/dibs.yaml', DIBS_LOG_LEVEL: 'loud' };
    const read = (path: string) => `namespaces: { shop: { on_loss: ${path} } }`;
    try {
      loadConfig(env, read);
      expect.unreachable();
    } catch (error) {
      expect((error as ConfigError).faults).toEqual([
        expect.stringMatching('^DIBS_LOG_LEVEL'),
        'DIBS_CONFIG: namespaces.shop.on_loss: "/etc/dibs.yaml" is not one of degrade, fail',
      ]);
    }
    const missing = () => loadConfig({ DIBS_CONFIG: '/nowhere/dibs.yaml' });
    expect(missing).toThrow("DIBS_CONFIG: '/nowhere/dibs.yaml' cannot be read: ENOENT");
    expect(missing).toThrow(ConfigError);
  });
});
