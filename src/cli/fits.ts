// `normscope fits`: several norms by every method that says something of them, as one table.
import { FIRST_TOKENS, fitAll, METHODS, methodsFor } from '../fit/spec.ts';
import type { FitReport } from '../fit/spec.ts';
import { FIRST_MODEL, weightsId } from '../model/catalog.ts';
import { sitesOf } from '../model/model.ts';
import { FIRST_NORM, MAIN_NORM_IDS, NORM_IDS } from '../norm/registry.ts';
import { fitsMarkdown } from '../receipt/fit.ts';
import { defineCommand, listOf, oneOf, usage } from './args.ts';
import { SOFTWARE_OPTION, withEngine } from './engine.ts';
import { TEXT_OPTIONS, teller, windowsIn } from './fit-words.ts';
import { checkTarget, writeResult } from './files.ts';
import { openModel } from './models.ts';

const EXAMPLE = weightsId(FIRST_MODEL, FIRST_NORM);

export const fits = defineCommand({
  name: 'fits',
  says: 'fit several norms by several methods, and lay their losses side by side',
  options: {
    model: {
      type: 'string',
      value: 'id or folder',
      says: `a twin, as ${EXAMPLE}, or a folder with the files of a model`,
    },
    to: {
      type: 'string',
      value: 'a,b',
      says: `norms, of ${NORM_IDS.join(', ')}; the main ones if not given`,
    },
    methods: { type: 'string', value: 'a,b', says: `of ${METHODS.join(', ')}; all if not given` },
    first: {
      type: 'string',
      value: FIRST_TOKENS.join('|'),
      says: 'whether the first token has the α (s, b) of all others, or its own',
    },
    ...TEXT_OPTIONS,
    out: { type: 'string', value: 'file', says: 'where the Markdown goes; to stdout if not given' },
    software: SOFTWARE_OPTION,
  },
  run: async (asked, say) => {
    if (asked.model === undefined)
      throw usage('Cannot fit: no model is given', `As in --model ${EXAMPLE}, or the path of a folder.`);
    const methods =
      asked.methods === undefined
        ? METHODS
        : listOf(asked.methods).map((one) => oneOf('methods', one, METHODS));
    const firstToken = asked.first === undefined ? undefined : oneOf('first', asked.first, FIRST_TOKENS);
    const given =
      asked.to === undefined ? undefined : listOf(asked.to).map((id) => oneOf('to', id, NORM_IDS));
    checkTarget(asked.out);
    const { library, info, weights } = await openModel(asked.model);
    const checkpoint = await library.checkpoint(weights);
    const members = given ?? MAIN_NORM_IDS.filter((id) => id !== checkpoint.norm);
    const sites = sitesOf(checkpoint).map(({ id }) => id);
    const calibration = await windowsIn(asked.calibration, library, info, checkpoint.context);
    const heldOut = await windowsIn(asked['held-out'], library, info, checkpoint.context + 1);
    await withEngine(library, { isSoftware: asked.software }, say, async (engine) => {
      const stop = new AbortController();
      process.once('SIGINT', () => {
        say('stopping; what was measured is kept');
        stop.abort();
      });
      const reports: FitReport[] = [];
      for (const member of members)
        for (const method of methodsFor(member).filter((one) => methods.includes(one))) {
          if (stop.signal.aborted) break;
          say(`${member}, ${method}`);
          const spec = {
            ...fitAll(weights, sites, member, method),
            tableWindows: 0,
            ...(firstToken ? { firstToken } : {}),
            ...(calibration ? { calibration } : {}),
            ...(heldOut ? { heldOut } : {}),
          };
          const report = await engine.fit(spec, { signal: stop.signal, onStep: teller(say) });
          if (report.isStopped) break;
          reports.push(report);
          say(`${member}, ${method}: ${report.heldOutLoss.fitted?.toFixed(4)} nats per token held out`);
        }
      writeResult(asked.out, fitsMarkdown(reports));
      if (asked.out !== undefined) say(`wrote ${asked.out}`);
      if (stop.signal.aborted) throw new DOMException('Stopped', 'AbortError');
    });
  },
});
