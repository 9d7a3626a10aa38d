import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Misuse, OK, parsed, REFUSED, Refusal } from './command.js';
import { figuresOf, type Scrape } from './figures.js';
import { readPrometheusText } from './prometheus-text.js';
import { type Seen, topText } from './top-text.js';

const DEFAULT_HTTP = 'http://127.0.0.1:9464';
const REFRESH_MS = 1_000;
/** A replica that takes longer to show its metrics is in trouble, which is what the table then says. */
const SCRAPE_MS_MAX = 2_000;
/** To the upper left corner, and clear what is below: without the flicker of clearing first. */
const REDRAW = '\u001B[H\u001B[J';

export const top: Command = {
  name: 'top',
  summary: 'calls, hits, waiters, leases and lock nodes of replicas, each second',
  help: `dibs top [--http URL]...: what replicas do, from their /metrics, a row for each, until Ctrl-C.

  --http URL           where a replica shows its metrics; may be repeated; default ${DEFAULT_HTTP}

Shows DIBS_TOKEN where the replicas want to know who asks; authorities of your own are those of
NODE_EXTRA_CA_CERTS. Where the output is no terminal, it is printed once, after two looks a second apart. HITS is the share of
GetOrLock calls that got a value, fresh or stale; LEASES are those that the replica gave and that run now.
`,

  async run(args, { out, env, interrupted }) {
    const { values } = parsed({
      args: [...args],
      options: { http: { type: 'string', multiple: true, default: [DEFAULT_HTTP] } },
    });
    const replicas = [...new Set(values.http.map(baseUrlOf))];
    const stop = interrupted();
    const scrape = (url: string) => scrapeOrWhy(url, env.DIBS_TOKEN ?? '');
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

/** For a script: what could be seen, and a bad end if not everything could. */
function once(seen: readonly Seen[], out: { write(text: string): unknown }): number {
  const [first] = seen.filter(({ problem }) => problem !== undefined);
  if (first !== undefined && seen.length === 1)
    throw new Refusal(`${first.replica}: ${first.problem}; is it the place (--http)?`);
  out.write(`${topText(seen, new Date()).join('\n')}\n`);
  return first === undefined ? OK : REFUSED;
}

function seenOf(url: string, before: Scrape | string | undefined, after: Scrape | string | undefined): Seen {
  const replica = new URL(url).host;
  if (typeof after === 'string') return { replica, problem: after };
  if (typeof before !== 'object' || after === undefined) return { replica, problem: 'has just come' };
  return { replica, figures: figuresOf(before, after) };
}

/** Without a slash at the end, and without the page itself. */
function baseUrlOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new Misuse(`--http: '${text}' is no URL such as ${DEFAULT_HTTP}`);
  return url.href.replace(/\/(metrics)?$/, '');
}

/** The metrics, or why there are none. */
async function scrapeOrWhy(url: string, token: string): Promise<Scrape | string> {
  try {
    const headers: Record<string, string> = token === '' ? {} : { authorization: `Bearer ${token}` };
    const response = await fetch(`${url}/metrics`, { headers, signal: AbortSignal.timeout(SCRAPE_MS_MAX) });
    if (!response.ok) return `/metrics answers ${response.status}`;
    const text = await response.text();
    const samples = readPrometheusText(text);
    if (!samples.some(({ name }) => name.startsWith('dibs_'))) return '/metrics has none of Dibs';
    return { atMs: performance.now(), samples };
  } catch (error) {
    return reasonOf(error as Error);
  }
}

/** fetch says only that it failed; the reason hangs on it. */
function reasonOf({ name, message, cause }: Error): string {
  if (name === 'TimeoutError') return `no answer within ${SCRAPE_MS_MAX / 1_000} s`;
  const { code, message: reason } = (cause ?? {}) as { code?: string; message?: string };
  return code === 'ECONNREFUSED' ? 'nobody listens there' : reason || code || message;
}
