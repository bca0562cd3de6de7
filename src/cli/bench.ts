// `normscope bench`: a suite of the bench, as the file normscope/bench/1 that the page would export.
import { SUITES } from '../bench/spec.ts';
import type { BenchProgress } from '../bench/spec.ts';
import { Problem } from '../problem.ts';
import { defineCommand, oneOf, usage } from './args.ts';
import type { Say } from './args.ts';
import { nodeDescription, SOFTWARE_REASON } from './dawn.ts';
import { SOFTWARE_OPTION, withEngine } from './engine.ts';
import { checkTarget, writeResult } from './files.ts';
import { libraryOf } from './models.ts';
import { SPEC_OPTIONS, specFrom } from './spec.ts';

const SAY_EVERY_MS = 5000;

/** Tells of every new stage, and every few seconds how far it is. */
function teller(say: Say): (progress: BenchProgress) => void {
  let saidAtMs = -Infinity;
  let saidStage = '';
  return ({ stage, done, of, estimateMs }) => {
    const nowMs = performance.now();
    if (stage === saidStage && nowMs - saidAtMs < SAY_EVERY_MS) return;
    saidAtMs = nowMs;
    saidStage = stage;
    const left = estimateMs === null ? '' : `, about ${Math.ceil(estimateMs / 1000)} s left`;
    say(`${stage} (${Math.round((100 * done) / of)} % done${left})`);
  };
}

export const bench = defineCommand({
  name: 'bench',
  says: 'time norms or whole models, as a file normscope/bench/1',
  options: {
    suite: { type: 'string', value: SUITES.join('|'), says: 'norms alone, or in whole models' },
    ...SPEC_OPTIONS,
    out: { type: 'string', value: 'file', says: 'where the results go; to stdout if not given' },
    software: SOFTWARE_OPTION,
  },
  run: async ({ suite, out, software, ...asked }, say) => {
    if (suite === undefined)
      throw usage('Cannot run the bench: no --suite is given', `There are ${SUITES.join(' and ')}.`);
    const { chosen, spec } = specFrom(oneOf('suite', suite, SUITES), asked);
    checkTarget(out);

    await withEngine(libraryOf(chosen), { isSoftware: software }, say, async (engine, { adapter }) => {
      const stop = new AbortController();
      process.once('SIGINT', () => {
        say('stopping; what was measured is kept');
        stop.abort();
      });
      const report = await engine.bench(spec(adapter.isFallback), {
        signal: stop.signal,
        onProgress: teller(say),
      });
      const environment = {
        ...report.environment,
        browser: nodeDescription(),
        ...(adapter.isFallback ? { fallbackReason: SOFTWARE_REASON.message } : {}),
      };
      writeResult(out, `${JSON.stringify({ ...report, environment }, null, 1)}\n`);
      if (out !== undefined) say(`wrote ${out}`);
      const [failure] = report.failures;
      if (failure) {
        throw usage(
          `Cannot measure ${failure.contestant} in ${failure.cell}: ${failure.reason}${report.failures.length > 1 ? ` (and ${report.failures.length - 1} more)` : ''}`,
          'What could be measured is in the file, and so is every reason.',
        );
      }
      const lost = report.flags.find(({ code }) => code === 'device-lost');
      if (lost) throw new Problem('device-lost', `Cannot finish the bench: ${lost.words}`, 'Run it again.');
      if (report.isStopped) throw new DOMException('Stopped', 'AbortError');
    });
  },
});
