import { ExplainResponse } from '../grpc/generated/dibs/v1/coordinator.js';
import { type Command, Misuse, OK, parsed } from './command.js';
import { explanationText } from './explanation-text.js';
import { printableJson } from './printable.js';
import { SERVICE_HELP, SERVICE_OPTIONS, Service } from './service.js';

export const explain: Command = {
  name: 'explain',
  summary: 'who holds a key, who waits, what its value is, how the last leases ended',
  help: `dibs explain [-n NAMESPACE] KEY: says what the service knows of a key.

  --json               the same as JSON, as the contract has it: what is 0 or empty is left out
${SERVICE_HELP}

Waiters are those of the replica that answers. A key that begins with a dash stands behind \`--\`.
`,

  async run(args, { env, out }) {
    const { values, positionals } = parsed({
      args: [...args],
      allowPositionals: true,
      options: { ...SERVICE_OPTIONS, json: { type: 'boolean', default: false } },
    });
    const [key, ...more] = positionals;
    if (key === undefined || more.length > 0)
      throw new Misuse(`explain wants one KEY, not ${positionals.length}; \`dibs explain --help\``);
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
