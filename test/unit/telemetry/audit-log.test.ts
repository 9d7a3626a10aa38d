import { expect, it } from 'vitest';
import { keyOf } from '../../../src/coordination/words/key.js';
import { auditLog } from '../../../src/telemetry/audit-log.js';
import { LOG } from '../../../src/telemetry/log-texts.js';

function trial() {
  const lines: [string, object, string][] = [];
  const audit = auditLog({
    info: (fields, message) => lines.push(['info', fields, message]),
    warn: (fields, message) => lines.push(['warn', fields, message]),
  });
  return { audit, lines };
}

it('a denial is logged with the identity, the method, the namespace and the missing permission', () => {
  const { audit, lines } = trial();
  audit.denied('search', 'Publish', 'catalog', 'publish');
  audit.denied('', 'GetOrLock', '', '');
  expect(lines).toEqual([
    [
      'warn',
      { identity: 'search', method: 'Publish', namespace: 'catalog', permission: 'publish' },
      LOG.auditDenied,
    ],
    ['warn', { identity: '', method: 'GetOrLock' }, LOG.auditUnauthenticated],
  ]);
});

it('an invalidation is logged with its counts, but without keys', () => {
  const { audit, lines } = trial();
  const keys = [keyOf('catalog', 'alice@example.com'), keyOf('catalog', 'bob')];
  audit.invalidated('checkout', { namespace: 'catalog', keys, tags: ['t'], all: false, mode: 'mark_stale' });
  const counts = {
    identity: 'checkout',
    namespace: 'catalog',
    keys: 2,
    tags: 1,
    all: false,
    mode: 'mark_stale',
  };
  expect(lines).toEqual([['info', counts, LOG.auditInvalidated]]);
});
