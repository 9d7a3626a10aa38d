import { CoordinationError } from '../coordination/words/errors.js';
import type { Refusal } from '../quorum/lock-node.js';
import { isNoScript } from './script.js';

/** What the log says about an error of Redis: the reason in plain words, and what to do. */

/** The first row that fits is used. `code` is Node's, else the text of Redis or of ioredis decides. */
const TROUBLES: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/ENOTFOUND|EAI_AGAIN/, 'no such host; check the name in the URL, and DNS'],
  [/ECONNREFUSED/, 'connection refused; is Redis running at this address and port?'],
  [/EHOSTUNREACH|ENETUNREACH/, 'no route to the host; check the network and its firewalls'],
  [
    /connect ETIMEDOUT|connect(?:ion)? timed? ?out/i,
    'no answer to connecting; check the address and the firewalls, and with rediss://: does this port speak TLS?',
  ],
  [
    /sentinels? are unreachable.*(?:NOAUTH|WRONGPASS|invalid password)/i,
    'the sentinels need another user or password; set DIBS_SENTINEL_USERNAME and DIBS_SENTINEL_PASSWORD',
  ],
  [/WRONGPASS|invalid password/i, 'wrong user or password; check USER:PASSWORD@ in the URL'],
  [
    /NOAUTH|without any password|Authentication required/i,
    'a password is needed; set USER:PASSWORD@ in the URL',
  ],
  [
    /DENIED Redis is running in protected mode/,
    'Redis is in protected mode; set a password there, or configure its bind',
  ],
  [/max number of clients/i, 'Redis has no connection left; raise its maxclients'],
  [/CERT_HAS_EXPIRED/, 'the certificate of Redis has expired; renew it'],
  [/ALTNAME_INVALID|altnames/, 'the certificate of Redis is for another name; use a name that it contains'],
  [
    /SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|self[- ]signed|unable to (?:verify|get)/i,
    'the certificate of Redis is signed by an unknown authority; set DIBS_REDIS_CA',
  ],
  [
    /EPROTO|ERR_SSL|wrong version number|before secure TLS connection/i,
    'TLS failed; does this port speak TLS? rediss:// needs one that does',
  ],
  [
    /MOVED |ASK |CROSSSLOT/,
    'Redis is a cluster; use redis+cluster://HOST:PORT for the store, and no cluster for lock nodes',
  ],
  [/READONLY/, 'Redis is a read-only replica; use the address of its master, or redis+sentinel://'],
  [/OOM/, 'Redis is full; raise its maxmemory'],
  [
    /MISCONF/,
    'Redis cannot save to its disk, and refuses writes; repair the disk, or its stop-writes-on-bgsave-error',
  ],
  [/NOREPLICAS/, 'Redis has fewer replicas than its min-replicas-to-write, and refuses writes'],
  [/LOADING/, 'Redis is loading its data'],
  [/MASTERDOWN/, 'Redis is a replica without its master'],
  [/CLUSTERDOWN/, 'the Redis Cluster is down: slots have no master'],
  [/BUSY /, 'Redis is running a long script'],
  [
    /NOPERM|can't run this command|no permissions/i,
    'the Redis user lacks rights; see deploy/operations/redis-acl.md',
  ],
  [
    /unknown (?:redis )?command/i,
    'Redis does not know a command; is the command renamed, or is this a server other than Redis?',
  ],
  [
    /DB index is out of range|SELECT is not allowed/i,
    'Redis has no database of this number; correct the /DB of the URL',
  ],
  [
    /invalid bulk length/i,
    'the value is larger than Redis accepts; raise its proto-max-bulk-len, or lower DIBS_VALUE_MAX_BYTES',
  ],
  [
    /Protocol error|RESP type/i,
    'the answer is not Redis; does this port need TLS (rediss://), or is another server there?',
  ],
  [
    /sentinels? are unreachable/i,
    'no sentinel answers with a master; check the sentinels and the name of the master',
  ],
  [
    /ECONNRESET|EPIPE|Connection is closed|isn't writeable|connection was closed|max retries per request/i,
    'the connection was closed; if this repeats: does the port need TLS (rediss://), is its maxclients reached, or is a value above its proto-max-bulk-len?',
  ],
];

/** One line. It contains no argument of a command, which may be a password, a token or a value. */
export function troubleOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const cause = causeOf(error);
  const said = withoutArguments(cause.message === '' ? cause.name : cause.message);
  const { code = '' } = cause as NodeJS.ErrnoException;
  const command = (cause as { command?: { name?: string } }).command?.name;
  const subject = `${code} ${said}`;
  // Its own text says less than "no permission".
  const why = TROUBLES.find(([pattern]) => pattern.test(subject))?.[1];
  const at = command === 'select' ? 'SELECT failed: ' : '';
  return why === undefined ? `${at}${said}` : `${at}${why} (${said})`;
}

/** An error of a cluster only says that all of its nodes failed. */
function causeOf(error: Error): Error {
  const { lastNodeError } = error as { lastNodeError?: unknown };
  return lastNodeError instanceof Error ? lastNodeError : error;
}

/**
 * Redis quotes the arguments of a command that it does not know, and AUTH may be renamed. Also without what differs from
 * call to call, so that the same reason has the same text.
 */
function withoutArguments(text: string): string {
  return text
    .replace(/,? with args beginning with:[\s\S]*/i, '')
    .replace(/ ?script: [0-9a-f]+, on @?user_script:\d+\.?/, '')
    .replace(/(MOVED|ASK) \d+/, '$1')
    .replace(/\s+/g, ' ')
    .trim();
}

/** The connection is missing or was lost. The error does not contain the reason. */
export function isMereEnd({ message }: Error): boolean {
  return /isn't (?:writeable|ready)|Connection is closed|Connection closed|max retries per request/.test(
    message,
  );
}

/** There was no connection to send it on: to the server, or to any node of the cluster. */
export function isUnsent({ message }: Error): boolean {
  return /isn't (?:writeable|ready)/.test(message);
}

/**
 * Another program wrote something else under the key's name, or into its record, where a script cannot use it. All other
 * keys can be served.
 */
export function isForeignKey(message: string): boolean {
  if (isFaultOfScript(message)) return false;
  // Lua's own errors begin in lower case after the line, those of commands in upper case.
  return /(?:^|\W)WRONGTYPE |user_script:\d+: [a-z]|is not an? (?:integer|valid)/.test(message);
}

/** The error for each caller of such a key. */
export function foreignKey(why: string): CoordinationError {
  return new CoordinationError(
    'failed_precondition',
    `the value store has other data under the name of this key (${why}); delete it there, or give Dibs its own store`,
  );
}

/**
 * A script of ours that Redis cannot compile. Everything else that Redis answers concerns the connection as a whole: a
 * list of such replies would never be complete.
 */
export function isFaultOfScript(message: string): boolean {
  return /^ERR Error compiling script/.test(message);
}

/** A lock node answered with an error. */
export class Refused extends Error implements Refusal {
  override readonly name = 'Refused';
}

/** Throws the error with the log's text: a {@link Refused} if the error is Redis' own answer. */
export function throwTold(error: unknown): never {
  const isReply = error instanceof Error && error.name === 'ReplyError' && !isNoScript(error);
  throw isReply ? new Refused(troubleOf(error)) : new Error(troubleOf(error));
}
