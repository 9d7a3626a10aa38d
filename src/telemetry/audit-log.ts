import type { Invalidate } from '../coordination/words/requests.js';
import { LOG } from './log-texts.js';
import type { Logger } from './logger.js';

/**
 * One line for each denial and each invalidation, within the log's bound on repetition. It has counts and never a
 * key, because a key may contain personal data.
 */
export function auditLog(log: Pick<Logger, 'info' | 'warn'>) {
  return {
    denied: (identity: string, method: string, namespace: string, permission: string) =>
      permission === ''
        ? log.warn({ identity, method }, LOG.auditUnauthenticated)
        : log.warn({ identity, method, namespace, permission }, LOG.auditDenied),
    invalidated: (
      identity: string,
      { namespace, keys, tags, all, mode }: Pick<Invalidate, 'namespace' | 'keys' | 'tags' | 'all' | 'mode'>,
    ) =>
      log.info(
        { identity, namespace, keys: keys.length, tags: tags.length, all, mode },
        LOG.auditInvalidated,
      ),
  };
}
