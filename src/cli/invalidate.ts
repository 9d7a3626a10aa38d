import { InvalidateMode, type InvalidateResponse } from '../grpc/generated/dibs/v1/coordinator.js';
import { type Command, Misuse, OK, parsed } from './command.js';
import { printable } from './printable.js';
import { count } from './quantities.js';
import { SERVICE_HELP, SERVICE_OPTIONS, Service } from './service.js';

/** What to invalidate. */
interface Aim {
  readonly namespace: string;
  readonly keys: readonly string[];
  readonly tags: readonly string[];
  readonly all: boolean;
  readonly markStale: boolean;
}

export const invalidate: Command = {
  name: 'invalidate',
  summary: 'drops values by key, by tag or by namespace, or marks them stale',
  help: `dibs invalidate [-n NAMESPACE] KEY... | --tag TAG... | --all: drops values.

  --tag TAG            all values with the tag; repeatable; may be combined with keys
  --all                the whole namespace; needs --yes
  --yes                confirms --all
  --mark-stale         marks the values stale instead, so they may be served for the rest of their stale time
${SERVICE_HELP}

Running rebuilds of these values are voided: their publishes are refused. Commit to the source first, then
invalidate. Put a key that begins with a dash after \`--\`.
`,

  async run(args, { env, out }) {
    const { values, positionals } = parsed({
      args: [...args],
      allowPositionals: true,
      options: {
        ...SERVICE_OPTIONS,
        tag: { type: 'string', multiple: true, default: [] },
        all: { type: 'boolean', default: false },
        yes: { type: 'boolean', default: false },
        'mark-stale': { type: 'boolean', default: false },
      },
    });
    const aim: Aim = {
      namespace: values.namespace ?? '',
      keys: positionals,
      tags: values.tag,
      all: values.all,
      markStale: values['mark-stale'],
    };
    refuseWhatIsUnclear(aim, values.yes);
    const service = Service.from(values, env);
    try {
      const mode = aim.markStale
        ? InvalidateMode.INVALIDATE_MODE_MARK_STALE
        : InvalidateMode.INVALIDATE_MODE_DELETE;
      const { namespace, keys, tags, all } = aim;
      const answer = await service.invalidate({ namespace, keys: [...keys], tags: [...tags], mode, all });
      out.write(`${reportOf(aim, answer)}\n`);
      return OK;
    } finally {
      service.close();
    }
  },
};

function refuseWhatIsUnclear({ namespace, keys, tags, all, markStale }: Aim, yes: boolean): void {
  if (all && keys.length + tags.length > 0)
    throw new Misuse('--all covers the whole namespace: remove KEY and --tag');
  if (all && !yes) {
    const what = markStale ? 'marks every value stale' : 'drops every value';
    throw new Misuse(`--all ${what} in the namespace ${namespace || 'default'}: add --yes to confirm`);
  }
  if (!all && keys.length + tags.length === 0)
    throw new Misuse('invalidate needs KEY..., --tag TAG or --all; see `dibs invalidate --help`');
}

/** The result in words. The service counts only values that it reached by key. */
function reportOf({ namespace, keys, tags, all, markStale }: Aim, answer: InvalidateResponse): string {
  const done = markStale ? 'stale' : 'dropped';
  const parts = [];
  if (all) parts.push(`everything is ${done}`);
  if (keys.length > 0) {
    const { keysInvalidated, leasesVoided } = answer;
    const voided = leasesVoided === 0 ? 'no running rebuild' : count(leasesVoided, 'running rebuild');
    parts.push(
      `${keysInvalidated} of ${count(keys.length, 'key')} had a value, now ${done}; ${voided} voided`,
    );
  }
  if (tags.length > 0) {
    const which = tags.length === 1 ? 'the tag' : 'one of the tags';
    parts.push(`all values with ${which} ${tags.map(printable).join(', ')} are ${done}`);
  }
  return `namespace ${printable(namespace || 'default')}: ${parts.join('; ')}`;
}
