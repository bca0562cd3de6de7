// The engine without a page: `npm run normscope -- <command> …`. Results go to files or stdout, words to stderr, and
// the exit code is 0 only if everything went well.
import { parseCommand } from './cli/args.ts';
import { bench } from './cli/bench.ts';
import { fit } from './cli/fit.ts';
import { fits } from './cli/fits.ts';
import { run } from './cli/run.ts';
import { isAbort, problemData } from './problem.ts';
import type { ProblemCode } from './problem.ts';

const COMMANDS = [run, bench, fit, fits];

/** Cures for here, where the engine's own speak of a page. */
const CURES: Partial<Record<ProblemCode, string>> = {
  'bad-file': 'The file is damaged or belongs to another version of Normscope: copy the model folder anew.',
  gpu: 'Run it again; if it comes back, report it with this text.',
  'device-lost': 'Run it again; if it comes back, a smaller task or another driver may help.',
  shader: 'Report it with this text and the name of the adapter.',
  unexpected: 'This is a mistake in Normscope, not in what you did: report it with this text.',
};

const say = (words: string): void => void process.stderr.write(`normscope: ${words}\n`);

try {
  const asked = parseCommand(process.argv.slice(2), COMMANDS);
  if ('help' in asked) process.stdout.write(asked.help);
  else await asked.work(say);
} catch (thrown) {
  if (isAbort(thrown)) {
    process.exitCode = 130; // as a shell says of a program that was interrupted
  } else {
    const { code, message, hint } = problemData(thrown);
    say(message);
    say(CURES[code] ?? hint);
    if (code === 'unexpected' && thrown instanceof Error) process.stderr.write(`${thrown.stack}\n`);
    process.exitCode = 1;
  }
}
