// Reads the options of a command for developers. Plain JavaScript, because commands use it before anything is built.
import { parseArgs } from 'node:util';

/** Exit code of a wrong command line. Nothing was done. */
const MISUSED = 2;

/**
 * Reads options such as `--seeds 100 --stop`. The value of a kind says what an option takes.
 *
 * @template {Record<string, 'number' | 'text' | 'flag'>} Kinds
 * @param {Kinds} kinds
 * @param {readonly string[]} args
 * @returns {{ [Name in keyof Kinds]?: { number: number, text: string, flag: boolean }[Kinds[Name]] }}
 * @throws {TypeError} If an option does not exist, has no value, or is not the number that it should be.
 */
export function readOptions(kinds, args) {
  const options = Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) => [name, { type: kind === 'flag' ? 'boolean' : 'string' }]),
  );
  const { values } = parseArgs({ args: [...args], options });
  for (const [name, value] of Object.entries(values)) {
    if (kinds[name] !== 'number') continue;
    if (!/^\d+(\.\d+)?$/.test(value)) throw new TypeError(`--${name} takes a number from 0, not '${value}'`);
    values[name] = Number(value);
  }
  return values;
}

/** Like {@link readOptions}, for the arguments of this process. A wrong one ends it, and `--help` lists the options. */
export function optionsOf(kinds, args = process.argv.slice(2)) {
  const known = Object.entries(kinds).map(([name, kind]) =>
    kind === 'flag' ? `--${name}` : `--${name} ${kind.toUpperCase()}`,
  );
  const list = `options: ${known.join(', ')}`;
  if (args.includes('--help')) {
    console.log(list);
    process.exit(0);
  }
  try {
    return readOptions(kinds, args);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return misused(`${error.message.split('\n')[0].replace(/\.? To specify .*/, '')}; ${list}`);
  }
}

/**
 * Ends the process, because its command line is wrong.
 *
 * @param {string} message
 * @returns {never}
 */
export function misused(message) {
  console.error(message);
  process.exit(MISUSED);
}

/**
 * Ends the process if an option has chosen nothing: a command that does nothing would look like one that passes.
 *
 * @template Item
 * @param {readonly Item[]} chosen
 * @param {string} what for example `scenario`
 * @param {string} wanted
 * @param {readonly string[]} names All that there are.
 * @returns {readonly Item[]}
 */
export function someOf(chosen, what, wanted, names) {
  if (chosen.length === 0) misused([`no ${what} '${wanted}'; there are`, ...names].join('\n  '));
  return chosen;
}
