import { InvalidateMode, type InvalidateResponse } from '../grpc/generated/dibs/v1/coordinator.js';
import { type Command, Misuse, OK, parsed } from './command.js';
import { printable } from './printable.js';
import { count } from './quantities.js';
import { SERVICE_HELP, SERVICE_OPTIONS, Service } from './service.js';

/** What is to be invalidated. */
interface Aim {
  readonly namespace: string;
  readonly keys: readonly string[];
  readonly tags: readonly string[];
  readonly all: boolean;
  readonly markStale: boolean;
}

export const invalidate: Command = {
  name: 'invalidate',
  summary: 'drops values by key, by tag or of a whole namespace, or marks them stale',
  help: `dibs invalidate [-n NAMESPACE] KEY... | --tag TAG... | --all: drops values.

  --tag TAG            all that carries the tag; may be repeated, and stand beside keys
  --all                the whole namespace; wants --yes
  --yes                you mean it
  --mark-stale         they are stale from now on, and are served so for the rest of their stale time
${SERVICE_HELP}

Rebuilds of them that are running are voided: what they publish is refused. Commit to the source first, then
invalidate. A key that begins with a dash stands behind \`--\`.
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
    throw new Misuse('--all is the whole namespace: name no KEY and no --tag beside it');
  if (all && !yes) {
    const what = markStale ? 'marks every value stale' : 'drops every value';
    throw new Misuse(`--all ${what} in the namespace ${namespace || 'default'}: if you mean it, add --yes`);
  }
  if (!all && keys.length + tags.length === 0)
    throw new Misuse('invalidate wants KEY..., --tag TAG or --all; `dibs invalidate --help`');
}

/** What was done. The service counts what it reached by key; what a tag reaches shows when somebody asks for it. */
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
    parts.push(`all that carries ${which} ${tags.map(printable).join(', ')} is ${done}`);
  }
  return `namespace ${printable(namespace || 'default')}: ${parts.join('; ')}`;
}
