// `normscope run`: one forward of a prompt, as the receipt that the page would export.
import { FIRST_MODEL, weightsId } from '../model/catalog.ts';
import { FIRST_NORM, NORM_IDS } from '../norm/registry.ts';
import { runReceipt } from '../receipt/run.ts';
import { defineCommand, listOf, oneOf, usage, wholeNumber } from './args.ts';
import { nodeDescription } from './dawn.ts';
import { SOFTWARE_OPTION, withEngine } from './engine.ts';
import { checkTarget, writeResult } from './files.ts';
import { openModel } from './models.ts';
import { checkPlan, planAt, readPlan } from './plan.ts';

const EXAMPLE = weightsId(FIRST_MODEL, FIRST_NORM);
const TIMING = { samples: 20, budgetMs: 1500 } as const;
/** Nothing is drawn here. */
export const NO_SAMPLING = { temperature: 0, topK: 0, seed: 0, maxTokens: 0 } as const;

/** Ids of `5,6,7`. Throws Problem `usage` for any that is none of V. */
function tokensFrom(text: string, V: number): number[] {
  const ids = listOf(text).map((word) => wholeNumber('tokens', word));
  const wrong = ids.find((id) => id >= V);
  if (wrong !== undefined)
    throw usage(
      `Cannot run token ${wrong}: the vocabulary has ${V}`,
      `Tokens are numbers from 0 to ${V - 1}.`,
    );
  return ids;
}

export const run = defineCommand({
  name: 'run',
  says: 'one forward with probes, as a receipt normscope/run/1',
  options: {
    model: {
      type: 'string',
      value: 'id or folder',
      says: `a twin, as ${EXAMPLE}, or a folder with the files of a model`,
    },
    norm: {
      type: 'string',
      value: 'norm',
      says: `put this norm at all sites (a raw swap): ${NORM_IDS.join(', ')}`,
    },
    plan: {
      type: 'string',
      value: 'file',
      says: 'what stands at each site: an exported run, or a plan as JSON',
    },
    prompt: { type: 'string', value: 'text', says: 'the text to run' },
    tokens: { type: 'string', value: '5,6,7', says: 'its tokens instead' },
    timings: { type: 'boolean', says: `time up to ${TIMING.samples} more forwards, without probes` },
    logits: { type: 'string', value: 'file', says: 'write the logits too: float32, little-endian, [T, V]' },
    out: { type: 'string', value: 'file', says: 'where the receipt goes; to stdout if not given' },
    software: SOFTWARE_OPTION,
  },
  run: async (asked, say) => {
    if ((asked.prompt === undefined) === (asked.tokens === undefined))
      throw usage(
        'Cannot run: give --prompt or --tokens, one of the two',
        'As in --prompt "Once upon a time".',
      );
    if (asked.norm !== undefined && asked.plan !== undefined)
      throw usage('Cannot run: --norm and --plan both say what stands at the sites', 'Give one of them.');
    const swapped = asked.norm === undefined ? undefined : oneOf('norm', asked.norm, NORM_IDS);
    const inFile = asked.plan === undefined ? undefined : readPlan(asked.plan);
    const given = asked.model ?? inFile?.plan.weights;
    if (given === undefined)
      throw usage('Cannot run: no model is given', `As in --model ${EXAMPLE}, or the path of a folder.`);
    for (const path of [asked.out, asked.logits]) checkTarget(path);

    const { library, info, weights } = await openModel(given);
    const checkpoint = await library.checkpoint(weights);
    const { sha256, vocabSize } = await library.load(weights);
    if (inFile && inFile.plan.weights !== weights && inFile.sha256 !== sha256) {
      throw usage(
        `Cannot use plan "${inFile.file}": it is for ${inFile.plan.weights}, and --model is ${weights}`,
        `Give --model ${inFile.plan.weights}, or a folder that holds it.`,
      );
    }
    const plan = inFile
      ? checkPlan({ ...inFile, plan: { ...inFile.plan, weights } }, checkpoint, sha256)
      : planAt(weights, swapped ?? null, checkpoint);
    const tokens =
      asked.tokens === undefined
        ? (await library.tokenize(info.id, asked.prompt ?? '')).map(({ id }) => id)
        : tokensFrom(asked.tokens, vocabSize);

    await withEngine(library, { isSoftware: asked.software }, say, async (engine, environment) => {
      say(`running ${weights}, ${tokens.length} tokens`);
      const result = await engine.run(plan, tokens, { probes: true });
      const timings = asked.timings
        ? await engine.measure(plan, tokens, TIMING, {
            onRound: (done, of) => void (done % 10 === 0 && say(`timed ${done} of ${of}`)),
          })
        : null;
      const receipt = runReceipt({
        environment,
        browser: nodeDescription(),
        info,
        run: result,
        prompt: asked.prompt ?? result.tokens.map(({ text }) => text).join(''),
        sampling: NO_SAMPLING,
        timings,
        comparison: null,
        lens: null,
        generated: null,
        createdAt: new Date(),
      });
      if (asked.logits !== undefined) {
        // Every platform that Dawn is built for is little-endian.
        writeResult(
          asked.logits,
          new Uint8Array(result.logits.buffer, result.logits.byteOffset, result.logits.byteLength),
        );
        say(`wrote ${asked.logits}`);
      }
      writeResult(asked.out, `${JSON.stringify(receipt, null, 1)}\n`);
      if (asked.out !== undefined) say(`wrote ${asked.out}`);
    });
  },
});
