// The conversation between store and engine: the last wish wins, and what fails leaves the last good result.
import { expect, test, vi } from 'vitest';
import { DEFAULT_NORMS } from '../../src/bench/spec.ts';
import type { Engine, GeneratedToken } from '../../src/engine/api.ts';
import { Problem } from '../../src/problem.ts';
import { setBench } from '../../src/store/bench.ts';
import { createSession } from '../../src/store/session.ts';
import { chooseNorm, createExperiment, setConfig } from '../../src/store/store.ts';
import { benchReportOf } from './bench-report.ts';
import { fakeEngine, loadedOf, runOf, untilAborted } from './fakes.ts';

function open(methods: Partial<Engine>) {
  const store = createExperiment();
  const session = createSession(store, fakeEngine(methods));
  setConfig(store, { prompt: 'ab' });
  return { store, session, state: () => store.getState().run };
}

/** A promise that the test settles. */
function gate<T>(): { promise: Promise<T>; release: (value: T) => void } {
  const releases: ((value: T) => void)[] = [];
  const promise = new Promise<T>((resolve) => releases.push(resolve));
  return { promise, release: (value) => releases[0]?.(value) };
}

test('a run ends with a result of the prompt, timings, and idle', async () => {
  const { session, state } = open({});
  await session.run();
  expect(state()).toMatchObject({
    phase: 'idle',
    problem: null,
    progress: null,
    resultPrompt: 'ab',
    loaded: { weights: 'fairy-tale-gpt/layernorm' },
    result: { tokens: [{ id: 1 }, { id: 1 }] },
    timings: { tokenCount: 2 },
  });
});

test('the last wish wins: an older run is stopped and its late answer dropped', async () => {
  const slow = gate<void>();
  const signals: (AbortSignal | undefined)[] = [];
  const { store, session, state } = open({
    run: async (plan, tokens, { signal }) => {
      signals.push(signal);
      if (plan.weights.endsWith('layernorm')) await slow.promise; // answers although it was aborted
      return runOf(plan, tokens);
    },
  });
  const first = session.run();
  await vi.waitFor(() => expect(signals).toHaveLength(1));
  setConfig(store, { norm: 'dyt' });
  const second = session.run();
  expect(signals[0]?.aborted).toBe(true);
  await second;
  slow.release();
  await first;
  expect(state()).toMatchObject({
    phase: 'idle',
    problem: null,
    result: { plan: { weights: 'fairy-tale-gpt/dyt' } },
    timings: { plan: { weights: 'fairy-tale-gpt/dyt' } },
  });
});

test('a load that fails leaves the last result and says what is wrong; the next run forgets it', async () => {
  const { store, session, state } = open({
    load: async (weights) => {
      if (weights.endsWith('/derf')) throw new Problem('bad-file', 'Cannot read "derf"', 'Fetch it again.');
      return loadedOf(weights);
    },
  });
  await session.run();
  const good = state().result;
  setConfig(store, { norm: 'derf' });
  await session.run();
  expect(state().result).toBe(good);
  expect(state()).toMatchObject({
    phase: 'idle',
    loaded: { weights: 'fairy-tale-gpt/layernorm' },
    problem: { code: 'bad-file', hint: 'Fetch it again.' },
  });
  setConfig(store, { norm: 'dyt' });
  await session.run();
  expect(state()).toMatchObject({ problem: null, result: { plan: { weights: 'fairy-tale-gpt/dyt' } } });
});

test('a failure of a run that nobody waits for any more stays silent', async () => {
  const slow = gate<void>();
  const load = vi.fn<Engine['load']>(async (weights) => {
    if (!weights.endsWith('/derf')) return loadedOf(weights);
    await slow.promise;
    throw new Error('too late to matter');
  });
  const { store, session, state } = open({ load });
  setConfig(store, { norm: 'derf' });
  const first = session.run();
  await vi.waitFor(() => expect(load).toHaveBeenCalledTimes(1));
  setConfig(store, { norm: 'dyt' });
  await session.run();
  slow.release();
  await first;
  expect(state().problem).toBeNull();
});

test('a prompt over the context is refused with its numbers, before it reaches the engine', async () => {
  const run = vi.fn<Engine['run']>();
  const { store, session, state } = open({ run });
  setConfig(store, { prompt: '0123456789' });
  await session.run();
  expect(state().problem).toMatchObject({ code: 'prompt-too-long', hint: 'Shorten it by 2 tokens.' });
  expect(state().problem?.message).toMatch(/10 tokens.*context is 8/);
  expect(run).not.toHaveBeenCalled();
});

test('stop() is idle at once, without a problem and with the last result', async () => {
  const { session, state } = open({
    measure: (_plan, _tokens, _spec, options) => untilAborted(options?.signal),
  });
  const running = session.run();
  await vi.waitFor(() => expect(state().timingProgress).not.toBeNull());
  session.stop();
  expect(state()).toMatchObject({ phase: 'idle', timingProgress: null });
  await running;
  expect(state()).toMatchObject({ phase: 'idle', problem: null, timings: null });
  expect(state().result).not.toBeNull();
});

test('a stopped generation keeps its partial text, and hears no token after the stop', async () => {
  const speak: ((token: GeneratedToken) => void)[] = [];
  const { session, state } = open({
    generate: async (_plan, _tokens, _sampling, options) => {
      speak.push(options?.onToken ?? (() => undefined));
      options?.onToken?.({ id: 5, text: 'on', index: 0 });
      await untilAborted(options?.signal).catch(() => undefined);
      return { ids: [5], text: 'on', isCached: false, elapsedMs: 3, readbackBytes: 4 };
    },
  });
  const generating = session.generate();
  await vi.waitFor(() => expect(state().generation?.text).toBe('on'));
  expect(state()).toMatchObject({ phase: 'generating', generation: { count: 1, elapsedMs: null } });
  session.stop();
  speak[0]?.({ id: 6, text: 'once', index: 1 });
  expect(state().generation?.text).toBe('on');
  await generating;
  expect(state()).toMatchObject({
    phase: 'idle',
    problem: null,
    generation: { prompt: 'ab', text: 'on', count: 1, isCached: false, elapsedMs: 3 },
  });
});

test('results name the prompt that ran, not the one typed meanwhile', async () => {
  const slow = gate<void>();
  const { store, session, state } = open({
    load: async (weights) => {
      await slow.promise;
      return loadedOf(weights);
    },
  });
  for (const work of [session.run, session.generate]) {
    setConfig(store, { prompt: 'ab' });
    const working = work();
    setConfig(store, { prompt: 'abc' });
    slow.release();
    await working;
  }
  expect(state().result?.tokens).toHaveLength(2);
  expect(state().resultPrompt).toBe('ab');
  expect(state().generation?.prompt).toBe('ab');
});

test('tokens of a prompt typed while weights load are not replaced by older ones', async () => {
  const slow = gate<void>();
  const { store, session, state } = open({
    load: async (weights) => {
      await slow.promise;
      return loadedOf(weights);
    },
  });
  const started = session.start();
  setConfig(store, { prompt: 'abcd' });
  await vi.waitFor(() => expect(state().promptTokens).toHaveLength(4));
  slow.release();
  await started;
  expect(state().result?.tokens).toHaveLength(2);
  expect(state().promptTokens).toHaveLength(4);
});

test('when the first weights are bad, another twin can still be chosen', async () => {
  const { store, session, state } = open({
    load: async (weights) => {
      if (weights.endsWith('/layernorm')) throw new Problem('bad-file', 'Cannot read it', 'Fetch it again.');
      return loadedOf(weights);
    },
  });
  await session.start();
  chooseNorm(store, 'dyt');
  await vi.waitFor(() => expect(state().timings).not.toBeNull());
  expect(store.getState().config).toMatchObject({ weights: 'twin', norm: 'dyt' });
  expect(state().result?.plan.weights).toBe('fairy-tale-gpt/dyt');
});

test('once started, the session follows the config: norms run, a prompt is only tokenized', async () => {
  const run = vi.fn<Engine['run']>(async (plan, tokens) => runOf(plan, tokens));
  const { store, session, state } = open({ run });
  await session.start();
  setConfig(store, { prompt: 'abcd' });
  await vi.waitFor(() => expect(state().promptTokens).toHaveLength(4));
  expect(run).toHaveBeenCalledTimes(1);
  chooseNorm(store, 'derf');
  await vi.waitFor(() => expect(run).toHaveBeenCalledTimes(2));
  expect(run.mock.lastCall?.[0].weights).toBe('fairy-tale-gpt/derf');
  expect(run.mock.lastCall?.[1]).toHaveLength(4);
  await vi.waitFor(() => expect(state()).toMatchObject({ phase: 'idle', timingProgress: null }));
});

test('of two prompts typed in a row, the tokens of the last one stay', async () => {
  const slow = gate<void>();
  const { store, session, state } = open({
    tokenize: async (_model, text) => {
      if (text === 'slow') await slow.promise;
      return Array.from(text, (char) => ({ id: 1, text: char }));
    },
  });
  await session.start();
  setConfig(store, { prompt: 'slow' });
  setConfig(store, { prompt: 'xyz' });
  await vi.waitFor(() => expect(state().promptTokens).toHaveLength(3));
  slow.release();
  await new Promise((resolve) => setTimeout(resolve));
  expect(state().promptTokens).toHaveLength(3);
});

test('a bench that was stopped keeps its report, and one of a hidden page says so', async () => {
  const half = gate<void>();
  const { store, session } = open({
    bench: async (spec) => {
      await half.promise; // what was measured until it was stopped
      return { ...benchReportOf(spec), isStopped: true };
    },
  });
  const running = session.bench(DEFAULT_NORMS);
  await vi.waitFor(() => expect(store.getState().run.phase).toBe('benching'));
  setBench(store, { wasHidden: true });
  session.stop();
  half.release();
  await running;
  const { kept, progress, predicted } = store.getState().bench;
  expect({ progress, predicted }).toEqual({ progress: null, predicted: null });
  expect(kept).toMatchObject([{ origin: 'here', isShown: true, report: { isStopped: true } }]);
  expect(kept[0]?.report.flags.map(({ code }) => code)).toContain('hidden-page');

  await session.bench(DEFAULT_NORMS);
  expect(store.getState().bench.kept[0]?.report.flags.map(({ code }) => code)).not.toContain('hidden-page');
});
