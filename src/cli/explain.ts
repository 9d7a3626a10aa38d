import { ExplainResponse } from '../grpc/generated/dibs/v1/coordinator.js';
import { type Command, Misuse, OK, parsed } from './command.js';
import { explanationText } from './explanation-text.js';
import { printableJson } from './printable.js';
import { SERVICE_HELP, SERVICE_OPTIONS, Service } from './service.js';

export const explain: Command = {
  name: 'explain',
  summary: 'shows the holder, waiters, value and last leases of a key',
  help: `dibs explain [-n NAMESPACE] KEY: shows what the service knows about a key.

  --json               the same as JSON, as in the contract; leaves out fields that are 0 or empty
${SERVICE_HELP}

The waiters are those of the replica that answers. Put a key that begins with a dash after \`--\`.
`,

  async run(args, { env, out }) {
    const { values, positionals } = parsed({
      args: [...args],
      allowPositionals: true,
      options: { ...SERVICE_OPTIONS, json: { type: 'boolean', default: false } },
    });
    const [key, ...more] = positionals;
    if (key === undefined || more.length > 0)
      throw new Misuse(`explain needs one KEY, not ${positionals.length}; see \`dibs explain --help\``);
    const namespace = values.namespace ?? '';
    const service = Service.from(values, env);
    try {
      const told = await service.explain({ namespace, key });
      const named = { namespace: namespace || 'default', key };
      out.write(
        values.json
          ? `${printableJson({ ...named, ...(ExplainResponse.toJSON(told) as object) })}\n`
          : explanationText(named, told),
      );
      return OK;
    } finally {
      service.close();
    }
  },
};
