// Words of a command line, and the help made of the same table that they are checked against.
import { parseArgs } from 'node:util';
import { Problem } from '../problem.ts';

type Option = {
  readonly type: 'string' | 'boolean';
  /** What stands for the value in the help. */
  readonly value?: string;
  readonly says: string;
};
type Options = Readonly<Record<string, Option>>;
type Values<O extends Options> = {
  readonly [K in keyof O]?: O[K] extends { readonly type: 'boolean' } ? boolean : string;
};

/** What a command may do besides its work: tell a person how far it is. */
export type Say = (words: string) => void;

export type Command = {
  readonly name: string;
  readonly says: string;
  readonly options: Options;
  readonly run: (values: Values<Options>, say: Say) => Promise<void>;
};

/** A command whose `run` is given its own options by name. */
export const defineCommand = <const O extends Options>(command: {
  readonly name: string;
  readonly says: string;
  readonly options: O;
  readonly run: (values: Values<O>, say: Say) => Promise<void>;
}): Command => command as unknown as Command;

/** What was asked for cannot be done as asked. */
export const usage = (message: string, hint: string): Problem => new Problem('usage', message, hint);

const HELP: Option = { type: 'boolean', says: 'print this' };

const columns = (rows: readonly (readonly [string, string])[]): string => {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, words]) => `  ${name.padEnd(width)}  ${words}`).join('\n');
};

const shown = ([name, { value }]: [string, Option]): string =>
  value === undefined ? `--${name}` : `--${name} <${value}>`;

function commandHelp({ name, says, options }: Command): string {
  const rows = Object.entries({ ...options, help: HELP }).map((entry): [string, string] => [
    shown(entry),
    entry[1].says,
  ]);
  return `normscope ${name}: ${says}\n\n${columns(rows)}\n`;
}

const allHelp = (commands: readonly Command[]): string =>
  `Normscope without a page: the same WGSL kernels on Dawn.\n\n${columns(
    commands.map(({ name, says }) => [name, says]),
  )}\n\n\`npm run normscope -- <command> --help\` lists a command's options.\n`;

/** The help that was asked for, or the work that is to be done. Throws Problem `usage`. */
export function parseCommand(
  words: readonly string[],
  commands: readonly Command[],
): { readonly help: string } | { readonly work: (say: Say) => Promise<void> } {
  const [name, ...rest] = words;
  if (name === '--help' || name === '-h' || name === 'help') return { help: allHelp(commands) };
  const command = commands.find((one) => one.name === name);
  if (!command) {
    throw usage(
      name === undefined
        ? 'Cannot start: no command is given'
        : `Cannot start: there is no command "${name}"`,
      `The commands are ${commands.map((one) => one.name).join(' and ')}; \`npm run normscope -- --help\` tells more.`,
    );
  }
  const options = { ...command.options, help: HELP };
  let values: Values<Options>;
  try {
    ({ values } = parseArgs({
      args: [...rest],
      options: Object.fromEntries(Object.entries(options).map(([key, { type }]) => [key, { type }])),
      strict: true,
    }) as { values: Values<Options> });
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split(/[.\n]/)[0] ?? '') : String(cause);
    const names = Object.keys(options).map((key) => `--${key}`);
    throw usage(`Cannot start "${command.name}": ${why}`, `It takes ${names.join(', ')}.`);
  }
  if (values['help']) return { help: commandHelp(command) };
  return { work: (say) => command.run(values, say) };
}

/** The words of a list like `a,b`. */
export const listOf = (text: string): string[] => text.split(',').map((word) => word.trim());

/** A whole number of at least `least`, from the words of `option`. */
export function wholeNumber(option: string, text: string, least = 0): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value) || value < least)
    throw usage(
      `Cannot use --${option} "${text}": "${text}" is no whole number from ${least} on`,
      'Write digits only.',
    );
  return value;
}

/** One of `all`, from the words of `option`. */
export function oneOf<T extends string>(option: string, text: string, all: readonly T[]): T {
  const found = all.find((one) => one === text);
  if (found === undefined)
    throw usage(
      `Cannot use --${option} "${text}": there is no such ${option}`,
      `There are ${all.join(', ')}.`,
    );
  return found;
}
