// `normscope record`: the runs that the page shows before its weights are there, one for each norm of its bar.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { FIRST_MODEL, FIRST_PROMPT, firstTwin, weightsId } from '../model/catalog.ts';
import { MAIN_NORM_IDS } from '../norm/registry.ts';
import { recordingName } from '../receipt/recorded.ts';
import { runReceipt } from '../receipt/run.ts';
import { defineCommand, usage } from './args.ts';
import { nodeDescription } from './dawn.ts';
import { SOFTWARE_OPTION, withEngine } from './engine.ts';
import { checkTarget, writeResult } from './files.ts';
import { chooseModel, libraryOf } from './models.ts';
import { planAt } from './plan.ts';
import { NO_SAMPLING } from './run.ts';

const WHERE = 'public/recorded';

export const record = defineCommand({
  name: 'record',
  says: `the runs of the first screen, as in ${WHERE}`,
  options: {
    out: { type: 'string', value: 'folder', says: `where they go, as ${WHERE}` },
    software: SOFTWARE_OPTION,
  },
  run: async (asked, say) => {
    if (asked.out === undefined) throw usage('Cannot record: no folder is given', `As in --out ${WHERE}.`);
    checkTarget(asked.out);
    const chosen = chooseModel(FIRST_MODEL);
    const library = libraryOf([chosen]);
    const { info } = chosen;
    const folder = join(asked.out, info.id);
    mkdirSync(folder, { recursive: true });
    const tokens = (await library.tokenize(info.id, FIRST_PROMPT)).map(({ id }) => id);
    await withEngine(library, { isSoftware: asked.software }, say, async (engine, environment) => {
      for (const norm of MAIN_NORM_IDS) {
        const weights = weightsId(info.id, info.twins[norm] ? norm : firstTwin(info));
        const plan = planAt(weights, norm, await library.checkpoint(weights));
        const receipt = runReceipt({
          environment,
          browser: nodeDescription(),
          info,
          run: await engine.run(plan, tokens, { probes: true }),
          prompt: FIRST_PROMPT,
          sampling: NO_SAMPLING,
          lens: null,
          timings: null,
          comparison: null,
          generated: null,
          createdAt: new Date(),
        });
        const path = join(folder, recordingName(norm));
        writeResult(path, gzipSync(JSON.stringify(receipt), { level: 9 }));
        say(`wrote ${path}`);
      }
    });
  },
});
