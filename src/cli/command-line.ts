import { type Command, MISUSED, Misuse, OK, REFUSED, Refusal, type Surroundings } from './command.js';
import { doctor } from './doctor.js';
import { explain } from './explain.js';
import { invalidate } from './invalidate.js';
import { printable } from './printable.js';
import { top } from './top.js';

const COMMANDS: readonly Command[] = [explain, invalidate, top, doctor];

const HELP = `dibs COMMAND: inspects a running Dibs service, invalidates its values, and examines a set-up.

${COMMANDS.map(({ name, summary }) => `  ${name.padEnd(12)}${summary}`).join('\n')}

\`dibs COMMAND --help\` shows its options; \`dibs --version\` shows the version.

environment
  DIBS_TARGET   gRPC address: HOST:PORT, unix:///path or dns:///HOST:PORT; default 127.0.0.1:50051
  DIBS_TOKEN    your token, if the service requires one
  DIBS_TLS_CA   path of a PEM file with the authorities to trust; turns TLS on
  DIBS_TLS_CERT, DIBS_TLS_KEY
                paths of your own certificate and its key, if the service asks for one

exit codes: 0 success; 1 the service refused, cannot be reached, or has faults; 2 wrong command line
`;

/** Runs one command and returns its exit code. An error is one line on the error output. */
export async function runCommandLine(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const { out, err } = surroundings;
  const [name, ...rest] = args;
  try {
    if (name === '--help' || name === '-h' || name === 'help') return say(out, HELP);
    if (name === '--version') return say(out, `${surroundings.version}\n`);
    if (name === undefined) {
      err.write(HELP);
      return MISUSED;
    }
    const command = COMMANDS.find((each) => each.name === name);
    if (command === undefined) throw new Misuse(`there is no command '${name}'; \`dibs --help\` lists them`);
    if (asksForHelp(rest)) return say(out, command.help);
    return await command.run(rest, surroundings);
  } catch (error) {
    if (!(error instanceof Misuse || error instanceof Refusal)) throw error;
    err.write(`dibs: ${printable(error.message)}\n`);
    return error instanceof Misuse ? MISUSED : REFUSED;
  }
}

/** True even beside wrong options; after `--` it is a key. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).some((arg) => arg === '--help' || arg === '-h');
}

function say(out: Surroundings['out'], text: string): number {
  out.write(text);
  return OK;
}
