import type { Diagnosis } from '../doctor/finding.js';
import { type Command, MISUSED, OK, parsed, REFUSED } from './command.js';
import { printable, printableJson } from './printable.js';

const HELP = `dibs doctor [--strict] [--json]: examines everything that a replica with this environment would use.

It reads the environment and the files of a replica (DIBS_QUORUM_NODES, DIBS_STORE_URL, ...),
connects to each Redis, tries the rights of the users, a vote, a lease, a publish, a wake and an
invalidation, and leaves nothing there. It calls no replica.

  --strict             warnings count as faults
  --json               for scripts

exit codes: 0 no faults, 1 faults, 2 a replica would refuse to start with this environment
`;

const OPTIONS = { strict: { type: 'boolean' }, json: { type: 'boolean' } } as const;

export const doctor: Command = {
  name: 'doctor',
  summary: 'examines the configuration and the Redis servers of a replica',
  help: HELP,
  async run(args, { env, version, out, err, diagnose }) {
    const { values } = parsed({ args: [...args], options: OPTIONS, allowPositionals: false });
    const diagnosis = await diagnose(env);
    if ('refusal' in diagnosis) {
      // Every fault has a line of its own.
      const lines = diagnosis.refusal.split('\n').map(printable);
      if (values.json === true) out.write(`${printableJson({ version, healthy: false, ...diagnosis })}\n`);
      else err.write(`dibs: ${lines.join('\n')}\n`);
      return MISUSED;
    }
    const faults = countOf(diagnosis, 'fault');
    const warnings = countOf(diagnosis, 'warning');
    const healthy = faults === 0 && (values.strict !== true || warnings === 0);
    const report = { version, healthy, faults, warnings, ...diagnosis };
    out.write(values.json === true ? `${printableJson(report)}\n` : textOf(diagnosis, version));
    return healthy ? OK : REFUSED;
  },
};

function countOf({ findings }: Diagnosis, result: 'fault' | 'warning'): number {
  return findings.filter((finding) => finding.result === result).length;
}

/** Each part under its name, with one line for each check, and the sum at the end. */
export function textOf(diagnosis: Diagnosis, version: string): string {
  const { mode, findings } = diagnosis;
  const width = Math.max(...findings.map(({ check }) => check.length));
  const lines = [`dibs doctor ${version}, ${mode} mode`];
  let part = '';
  for (const finding of findings) {
    if (finding.part !== part) lines.push('', finding.part);
    part = finding.part;
    const mark = finding.result === 'fault' ? 'FAULT' : finding.result;
    lines.push(`  ${mark.padEnd(7)}  ${finding.check.padEnd(width)}  ${printable(finding.detail)}`);
  }
  const count = (number: number, word: string) => `${number} ${word}${number === 1 ? '' : 's'}`;
  const sum = `${count(countOf(diagnosis, 'fault'), 'fault')}, ${count(countOf(diagnosis, 'warning'), 'warning')}`;
  return `${[...lines, '', sum].join('\n')}\n`;
}
