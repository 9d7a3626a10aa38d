import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Misuse, OK, parsed, REFUSED, Refusal } from './command.js';
import { figuresOf, type Scrape } from './figures.js';
import { readPrometheusText } from './prometheus-text.js';
import { maybePassword, staysHere } from './proxy.js';
import { TOKEN_HELP, TOKEN_OPTIONS, tokenFor } from './token.js';
import { type Seen, topText } from './top-text.js';

const DEFAULT_HTTP = 'http://127.0.0.1:9464';
const REFRESH_MS = 1_000;
/** A replica that takes longer to answer is in trouble, and the table says so. */
const SCRAPE_MS_MAX = 2_000;
/** Moves to the upper left corner and clears below it, which avoids the flicker of clearing first. */
const REDRAW = '\u001B[H\u001B[J';

export const top: Command = {
  name: 'top',
  summary: 'shows calls, hits, waiters, leases and lock nodes of replicas, each second',
  help: `dibs top [--http URL]...: shows one row per replica, from its /metrics, until Ctrl-C.

  --http URL           where a replica serves its metrics; repeatable; default ${DEFAULT_HTTP}
${TOKEN_HELP}

Sends DIBS_TOKEN if it is set. To trust your own authorities, set NODE_EXTRA_CA_CERTS. If the output is not a
terminal, prints once, after two reads a second apart. HITS is the share of GetOrLock calls that got a value, fresh
or stale. LONGEST is the age of the longest current wait. LEASES counts running leases that the replica has granted.
`,

  async run(args, { out, env, interrupted }) {
    const { values } = parsed({
      args: [...args],
      options: { http: { type: 'string', multiple: true, default: [DEFAULT_HTTP] }, ...TOKEN_OPTIONS },
    });
    const replicas = [...new Set(values.http.map(baseUrlOf))];
    const isAllowed = values['allow-insecure-token'];
    // The same for each, or an error.
    const [token = ''] = replicas.map((to) => tokenFor(env, { to, isPrivate: isPrivate(to), isAllowed }));
    const stop = interrupted();
    const scrape = (url: string) => scrapeOrWhy(url, token);
    let before = await Promise.all(replicas.map(scrape));
    for (;;) {
      await sleep(REFRESH_MS, undefined, { signal: stop }).catch(() => {});
      if (stop.aborted) return OK;
      const after = await Promise.all(replicas.map(scrape));
      const seen = replicas.map((url, at) => seenOf(url, before[at], after[at]));
      if (out.isTTY !== true) return once(seen, out);
      const lines = topText(seen, new Date()).map((line) => line.slice(0, out.columns));
      out.write(`${REDRAW}${lines.join('\n')}\n`);
      before = after;
    }
  },
};

/** For scripts: prints what could be read, and fails if any replica could not be read. */
function once(seen: readonly Seen[], out: { write(text: string): unknown }): number {
  const [first] = seen.filter(({ problem }) => problem !== undefined);
  if (first !== undefined && seen.length === 1)
    throw new Refusal(`${first.replica}: ${first.problem}; check --http`);
  out.write(`${topText(seen, new Date()).join('\n')}\n`);
  return first === undefined ? OK : REFUSED;
}

function seenOf(url: string, before: Scrape | string | undefined, after: Scrape | string | undefined): Seen {
  const replica = new URL(url).host;
  if (typeof after === 'string') return { replica, problem: after };
  if (typeof before !== 'object' || after === undefined) return { replica, problem: 'has just started' };
  return { replica, figures: figuresOf(before, after) };
}

function isPrivate(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'https:' || staysHere(hostname);
}

/** Without a trailing slash or `/metrics`. */
function baseUrlOf(text: string): string {
  // fetch refuses it with an error that repeats it.
  if (maybePassword(text))
    throw new Misuse(
      `--http: has a user or a password, or another @; set a URL like ${DEFAULT_HTTP}, and DIBS_TOKEN`,
    );
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new Misuse(`--http: '${text}' is not a URL like ${DEFAULT_HTTP}`);
  return url.href.replace(/\/(metrics)?$/, '');
}

/** The metrics, or the reason why they are missing. */
async function scrapeOrWhy(url: string, token: string): Promise<Scrape | string> {
  try {
    const headers: Record<string, string> = token === '' ? {} : { authorization: `Bearer ${token}` };
    const response = await fetch(`${url}/metrics`, { headers, signal: AbortSignal.timeout(SCRAPE_MS_MAX) });
    if (!response.ok) return `/metrics answers ${response.status}`;
    const text = await response.text();
    const samples = readPrometheusText(text);
    if (!samples.some(({ name }) => name.startsWith('dibs_'))) return '/metrics has no Dibs metrics';
    return { atMs: performance.now(), samples };
  } catch (error) {
    return reasonOf(error as Error);
  }
}

/** fetch reports only the failure; the reason is in its `cause`. */
function reasonOf({ name, message, cause }: Error): string {
  if (name === 'TimeoutError') return `no answer within ${SCRAPE_MS_MAX / 1_000} s`;
  const { code, message: reason } = (cause ?? {}) as { code?: string; message?: string };
  return code === 'ECONNREFUSED' ? 'connection refused' : reason || code || message;
}
