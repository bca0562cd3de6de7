// Models that a person brings: looked at, asked about, fetched; what fails leaves the model of before.
import { expect, test, vi } from 'vitest';
import type { Engine, Opened, OpenWhat, Survey } from '../../src/engine/api.ts';
import { weightsId } from '../../src/model/catalog.ts';
import { diskModelId, hubModelId } from '../../src/model/model-id.ts';
import { NORM_IDS, normSpec } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { Problem } from '../../src/problem.ts';
import { applyLink, linkOf, readLink } from '../../src/store/link.ts';
import { ASK_BYTES } from '../../src/store/models.ts';
import { createSession } from '../../src/store/session.ts';
import { chooseNorm, createExperiment, DEFAULT_CONFIG, planOf, setConfig } from '../../src/store/store.ts';
import { ENVIRONMENT, fakeEngine, INFO, loadedOf, SITES, untilAborted } from './fakes.ts';

const NATIVE: NormId = NORM_IDS.find((id) => normSpec(id).line?.per === 'rms') ?? 'none';
const HUB = hubModelId('people/tiny@main');
const DISK = diskModelId('tiny', 'cd'.repeat(32));
const idOf = (what: OpenWhat): string => ('hub' in what ? HUB : DISK);
const sites = SITES.map((site) => ({ ...site, norm: NATIVE }));

const surveyOf = (what: OpenWhat, fileBytes: number): Survey => ({
  label: 'hub' in what ? 'people/tiny@main' : 'the dropped files',
  family: 'llama',
  output: 'next',
  image: null,
  imageForm: null,
  dims: { T: 8, C: 4, H: 1, G: 1, D: 4, F: 8, V: 3, L: 2 },
  context: 8,
  vocabSize: 3,
  sites,
  parameterCount: 100,
  dtypes: ['F32'],
  fileBytes,
  keptBytes: 0,
  hasTokenizer: false,
  estimate: { weightsBytes: 1, activationsBytes: 0, cacheBytes: 0, totalBytes: 1 },
});

function openedOf(what: OpenWhat, fileBytes: number): Opened {
  const id = idOf(what);
  const [twin] = Object.values(INFO.twins);
  if (!twin) throw new Error('the page has a model');
  return {
    model: { ...INFO, id, name: id, twins: { [NATIVE]: twin } },
    loaded: { ...loadedOf(weightsId(id, NATIVE)), sites },
    survey: surveyOf(what, fileBytes),
    notice: null,
  };
}

/** A session over an engine that opens anything, of so many bytes. */
function open(fileBytes = 1000, methods: Partial<Engine> = {}) {
  const store = createExperiment();
  const opened: Opened[] = [];
  const engine = fakeEngine({
    environment: async () => ({ ...ENVIRONMENT, limits: { maxBufferSize: 2 ** 30 } }),
    tokenize: async (_model, text) => text.split(' ').map((word) => ({ id: 1, text: word })),
    survey: async (what) => surveyOf(what, fileBytes),
    open: async (what) => {
      opened.push(openedOf(what, fileBytes));
      return openedOf(what, fileBytes);
    },
    model: async (id) => opened.find(({ model }) => model.id === id)?.model ?? INFO,
    load: async (weights) =>
      opened.find(({ loaded }) => loaded.weights === weights)?.loaded ?? loadedOf(weights),
    ...methods,
  });
  return { store, session: createSession(store, engine), state: () => store.getState(), opened };
}
const HUB_WHAT = { hub: 'people/tiny' };
const FILES = [
  { path: 'tiny/config.json', file: new File(['{}'], 'config.json') },
  { path: 'tiny/model.safetensors', file: new File(['x'], 'model.safetensors') },
];

test('a dropped folder becomes the model, native at every site, and the norm bar puts others on it', async () => {
  const { store, session, state } = open();
  await session.start();
  setConfig(store, { alpha: 2 });
  await session.openFiles(FILES);
  await vi.waitFor(() => expect(state().run.result?.plan.weights).toBe(weightsId(DISK, NATIVE)));
  expect(state().config).toMatchObject({ model: DISK, norm: NATIVE, weights: 'twin', alpha: 1 });
  expect(state().config.prompt).toMatch(/^[\d ]+$/); // it has no tokenizer
  expect(new Set(Object.values(state().run.result?.plan.sites ?? {}).map(({ source }) => source))).toEqual(
    new Set(['twin']),
  );
  const other = NORM_IDS.find((id) => id !== NATIVE && !normSpec(id).isGallery) ?? NATIVE;
  chooseNorm(store, other);
  const plan = planOf(state().config, sites);
  expect(plan.weights).toBe(weightsId(DISK, NATIVE));
  expect(Object.values(plan.sites)).toEqual(sites.map(() => ({ norm: other, source: 'raw', alphaScale: 1 })));
  await vi.waitFor(() => expect(state().run).toMatchObject({ phase: 'idle', timingProgress: null }));
  expect(linkOf(state())).toContain(`model=${encodeURIComponent(DISK)}`);
});

test('a large download waits for a yes, and a stopped one leaves everything as it was', async () => {
  const fetched = vi.fn();
  const { session, state } = open(ASK_BYTES + 1, {
    open: (what, options) => {
      fetched(what);
      return untilAborted(options?.signal);
    },
  });
  await session.openModel(HUB_WHAT);
  expect(state().models.opening).toMatchObject({ stage: 'asking', survey: { family: 'llama' } });
  expect(fetched).not.toHaveBeenCalled();
  const fetching = session.fetchModel();
  await vi.waitFor(() => expect(fetched).toHaveBeenCalledWith(HUB_WHAT));
  expect(state().models.opening?.stage).toBe('fetching');
  session.hideModels(); // it goes on behind
  expect(state().models).toMatchObject({ isSheetOpen: false, opening: { stage: 'fetching' } });
  session.stopOpening();
  await fetching;
  expect(state().models).toMatchObject({ opening: null, problem: null, brought: [] });
  expect(state().config.model).toBe(DEFAULT_CONFIG.model);
});

test('one that may not fit waits for a yes even from this disk', async () => {
  const { session, state } = open(1000, { environment: async () => ENVIRONMENT }); // buffers of one byte
  const survey = surveyOf({ files: FILES }, 1000);
  const { session: tight, state: tightState } = open(1000, {
    environment: async () => ENVIRONMENT,
    survey: async () => ({ ...survey, estimate: { ...survey.estimate, totalBytes: 2 } }),
  });
  await session.openModel({ files: FILES });
  expect(state().config.model).toBe(DISK);
  await tight.openModel({ files: FILES });
  expect(tightState().models.opening?.stage).toBe('asking');
  await tight.fetchModel();
  expect(tightState().config.model).toBe(DISK);
});

test('what cannot be opened says why in the sheet; the model of before stays', async () => {
  const { session, state } = open(1000, {
    survey: () => Promise.reject(new Problem('not-found', 'Cannot fetch it', 'Check the address.')),
  });
  await session.start();
  const { result } = state().run;
  await session.openModel(HUB_WHAT);
  expect(state().models).toMatchObject({ opening: null, isSheetOpen: true, problem: { code: 'not-found' } });
  expect(state().run.result).toBe(result);
  session.hideModels();
  expect(state()).toMatchObject({
    config: { model: DEFAULT_CONFIG.model },
    models: { isSheetOpen: false, problem: null },
  });
});

test('a link to the Hub asks, keeps what it asked for, and is given up when nobody wants it', async () => {
  const { store, session, state } = open(ASK_BYTES + 1);
  const link = readLink('v=1&model=people/tiny&weights=raw&swaps=h.0.ln_1:none&prompt=7+8');
  applyLink(store, link);
  expect(link.refused).toEqual([]);
  await session.start();
  await vi.waitFor(() => expect(state().models.opening?.stage).toBe('asking'));
  expect(state().run.result).toBeNull();
  await session.fetchModel();
  await vi.waitFor(() => expect(state().run.result).not.toBeNull());
  expect(state().config).toMatchObject({ model: HUB, base: NATIVE, weights: 'raw', prompt: '7 8' });
  expect(state().run.result?.plan.sites['h.0.ln_1']).toMatchObject({ norm: 'none', source: 'raw' });

  const unwanted = open(ASK_BYTES + 1);
  applyLink(unwanted.store, link);
  await unwanted.session.start();
  await vi.waitFor(() => expect(unwanted.state().models.opening?.stage).toBe('asking'));
  unwanted.session.hideModels();
  await vi.waitFor(() => expect(unwanted.state().run.result).not.toBeNull());
  expect(unwanted.state().config.model).toBe(DEFAULT_CONFIG.model);
});

test('a link to files of somebody’s disk asks for them, and runs them as it says', async () => {
  const { store, session, state } = open();
  applyLink(store, readLink(`v=1&model=${encodeURIComponent(DISK)}&norm=${NATIVE}&prompt=5`));
  await session.start();
  expect(state()).toMatchObject({ models: { isSheetOpen: true }, run: { result: null } });
  await session.openFiles(FILES);
  await vi.waitFor(() => expect(state().run.result).not.toBeNull());
  expect(state()).toMatchObject({ models: { isSheetOpen: false }, config: { model: DISK, prompt: '5' } });
});

test('a closed model gives its memory back, and the page goes back to one that runs', async () => {
  const close = vi.fn(async () => undefined);
  const { session, state } = open(1000, { close });
  await session.start();
  await session.openModel(HUB_WHAT);
  await vi.waitFor(() => expect(state().run.loaded?.weights).toBe(weightsId(HUB, NATIVE)));
  await session.closeModel(HUB);
  expect(close).toHaveBeenCalledWith(weightsId(HUB, NATIVE));
  expect(state()).toMatchObject({ models: { brought: [] }, config: { model: DEFAULT_CONFIG.model } });
  await vi.waitFor(() => expect(state().run.loaded?.weights).not.toContain(HUB));
});
