// `normscope fit`: another norm put on a trained model and calibrated, as a file normscope/fit/1.
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ConvertedFile } from '../fit/convert.ts';
import {
  FIRST_TOKENS,
  fitAll,
  goingOnFrom,
  isResumable,
  isSiteMethod,
  isSwept,
  KAPPAS,
  METHODS,
  methodsFor,
  RESUMABLE,
  TUNE,
} from '../fit/spec.ts';
import type { FitSpec } from '../fit/spec.ts';
import { SNIPPET } from '../engine/convert.ts';
import { FIRST_MODEL, weightsId } from '../model/catalog.ts';
import { sitesOf } from '../model/model.ts';
import { FIRST_NORM, NORM_IDS, STORY_NORM } from '../norm/registry.ts';
import { Problem } from '../problem.ts';
import { fitJson, fitMarkdown } from '../receipt/fit.ts';
import { defineCommand, listOf, oneOf, usage, wholeNumber } from './args.ts';
import { SOFTWARE_OPTION, withEngine } from './engine.ts';
import { TEXT_OPTIONS, teller, windowsIn } from './fit-words.ts';
import { checkTarget, writeResult } from './files.ts';
import { openModel } from './models.ts';
import { checkPlan, readPlan } from './plan.ts';

const EXAMPLE = weightsId(FIRST_MODEL, FIRST_NORM);

const bytesOf = async (file: Uint8Array | Blob): Promise<Uint8Array> =>
  file instanceof Blob ? new Uint8Array(await file.arrayBuffer()) : file;

const SITE_METHODS = METHODS.filter(isSiteMethod);

/** A site, and what it has of its own: `site`, `site=norm`, `site:method`, `site=norm:method`. */
function siteOf(word: string, all: readonly string[]) {
  const [place = '', method, ...more] = word.split(':');
  const [site = '', norm, ...rest] = place.split('=');
  if (more.length || rest.length)
    throw usage(
      `Cannot use --sites "${word}"`,
      `As in ln_f, ln_f=${STORY_NORM}, ln_f:clip or ln_f=${STORY_NORM}:clip.`,
    );
  return {
    site: oneOf('sites', site, all),
    norm: norm === undefined ? undefined : oneOf('sites', norm, NORM_IDS),
    method: method === undefined ? undefined : oneOf('sites', method, SITE_METHODS),
  };
}

const numberOf = (option: string, text: string): number => {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value)))
    throw usage(`Cannot use --${option} "${text}": it is no number above 0`, 'As in 4, or 0.02.');
  return value;
};

export const fit = defineCommand({
  name: 'fit',
  says: 'put another norm on a trained model, calibrate it, and measure what it costs',
  options: {
    model: {
      type: 'string',
      value: 'id or folder',
      says: `a twin, as ${EXAMPLE}, or a folder with the files of a model`,
    },
    to: { type: 'string', value: 'norm', says: `the norm to put there: ${NORM_IDS.join(', ')}` },
    method: { type: 'string', value: 'name', says: METHODS.join(', ') },
    sites: {
      type: 'string',
      value: 'ln_f,…',
      says: 'swap these sites only, in this order; ln_f=norm and ln_f:method where one has its own',
    },
    kappa: { type: 'string', value: '1,2,…', says: `clip: levels to try (${KAPPAS.join()})` },
    steps: { type: 'string', value: 'n', says: `fine-tune: steps (${TUNE.steps})` },
    rate: {
      type: 'string',
      value: 'x',
      says: `fine-tune: learning rate at the start (${TUNE.learningRate})`,
    },
    passage: {
      type: 'string',
      value: 'n',
      says: `fine-tune: tokens a step runs, at most (${TUNE.windowTokens})`,
    },
    first: {
      type: 'string',
      value: FIRST_TOKENS.join('|'),
      says: 'whether the first token has the α (s, b) of all others, or its own',
    },
    ...TEXT_OPTIONS,
    from: { type: 'string', value: 'file', says: 'an earlier fit: its fitted sites are taken as they are' },
    table: { type: 'string', value: 'n', says: 'held-out windows for the table of sites; 0 for no table' },
    out: { type: 'string', value: 'file', says: 'where the report goes; to stdout if not given' },
    export: { type: 'string', value: 'folder', says: 'where the converted model goes' },
    software: SOFTWARE_OPTION,
  },
  run: async (asked, say) => {
    if (asked.model === undefined)
      throw usage('Cannot fit: no model is given', `As in --model ${EXAMPLE}, or the path of a folder.`);
    if (asked.to === undefined)
      throw usage('Cannot fit: no norm is given', `--to is one of ${NORM_IDS.join(', ')}.`);
    const member = oneOf('to', asked.to, NORM_IDS);
    const method = oneOf('method', asked.method ?? 'sequential', methodsFor(member));
    const kappas =
      asked.kappa === undefined ? KAPPAS : listOf(asked.kappa).map((one) => numberOf('kappa', one));
    const earlier = asked.from === undefined ? undefined : readPlan(asked.from);
    const past = earlier?.fit?.method === method ? earlier.fit : undefined;
    const tune = {
      ...TUNE,
      ...(past?.isStopped ? past.tune : {}),
      ...(asked.steps === undefined ? {} : { steps: wholeNumber('steps', asked.steps, 1) }),
      ...(asked.rate === undefined ? {} : { learningRate: numberOf('rate', asked.rate) }),
      ...(asked.passage === undefined ? {} : { windowTokens: wholeNumber('passage', asked.passage, 2) }),
    };
    const tableWindows = asked.table === undefined ? 4 : wholeNumber('table', asked.table);
    checkTarget(asked.out);
    checkTarget(asked.export);

    const { library, info, weights } = await openModel(asked.model);
    const checkpoint = await library.checkpoint(weights);
    const { sha256 } = await library.load(weights);
    const all = sitesOf(checkpoint).map(({ id }) => id);
    const sites = (asked.sites === undefined ? all : listOf(asked.sites)).map((word) => siteOf(word, all));
    const calibration = await windowsIn(asked.calibration, library, info, checkpoint.context);
    const heldOut = await windowsIn(asked['held-out'], library, info, checkpoint.context + 1);
    const spec: FitSpec = {
      ...fitAll(weights, [], member, method),
      sites: Object.fromEntries(sites.map(({ site, norm = member }) => [site, norm])),
      methods: Object.fromEntries(sites.flatMap((one) => (one.method ? [[one.site, one.method]] : []))),
      ...(asked.sites === undefined ? {} : { order: sites.map(({ site }) => site) }),
      kappas,
      tune,
      tableWindows,
      ...(asked.first === undefined ? {} : { firstToken: oneOf('first', asked.first, FIRST_TOKENS) }),
      ...(calibration ? { calibration } : {}),
      ...(heldOut ? { heldOut } : {}),
      ...(earlier
        ? {
            from: {
              ...(past ? goingOnFrom(past) : {}),
              plan: checkPlan(earlier, checkpoint, sha256),
            },
          }
        : {}),
    };
    if (earlier && !isResumable(spec))
      throw usage(
        `Cannot go on with ${method}: it ${isSwept(spec) ? 'tries several clip levels, each a fit of its own' : 'fits no site after another'}`,
        `--from is for ${RESUMABLE.join(' and ')}, with one --kappa where a site clips.`,
      );
    await withEngine(library, { isSoftware: asked.software }, say, async (engine) => {
      const stop = new AbortController();
      process.once('SIGINT', () => {
        say('stopping; what was fitted is kept');
        stop.abort();
      });
      const report = await engine.fit(spec, { signal: stop.signal, onStep: teller(say) });
      const { original, raw, fitted } = report.heldOutLoss;
      if (fitted !== null)
        say(
          `held-out loss: ${original?.toFixed(4)} as trained, ${raw?.toFixed(4)} swapped, ${fitted.toFixed(4)} fitted`,
        );
      writeResult(asked.out, fitJson(report));
      if (asked.out !== undefined) say(`wrote ${asked.out}`);
      if (report.isStopped) throw new DOMException('Stopped', 'AbortError');
      if (asked.export === undefined) return;
      const files: ConvertedFile<Uint8Array | Blob>[] = [
        {
          path: 'model.onnx',
          bytes: await engine.exportOnnx(report.plan, { weights: 'f32', hasPast: true }),
        },
      ];
      try {
        files.push(...(await library.converted(report.plan, fitted ?? 0)));
      } catch (thrown) {
        if (!(thrown instanceof Problem) || thrown.code !== 'usage') throw thrown;
        say(thrown.message); // the other forms can say it
      }
      const snippet = files.find(({ path }) => path === SNIPPET)?.bytes;
      const words = fitMarkdown(report, snippet && new TextDecoder().decode(await bytesOf(snippet)));
      files.push({ path: 'report.md', bytes: new TextEncoder().encode(words) });
      for (const { path, bytes } of files) {
        const target = join(asked.export, path);
        mkdirSync(dirname(target), { recursive: true });
        writeResult(target, await bytesOf(bytes));
        say(`wrote ${target}`);
      }
    });
  },
});
