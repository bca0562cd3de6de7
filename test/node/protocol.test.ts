// The worker's wire, with both ends in one thread: an engine behind it must look like an engine.
import { afterEach, describe, expect, test, vi } from 'vitest';
import { RemoteEngine } from '../../src/engine/remote.ts';
import { serveEngine } from '../../src/engine/serve.ts';
import { DEFAULT_NORMS } from '../../src/bench/spec.ts';
import { benchReportOf } from './bench-report.ts';
import type { Engine } from '../../src/engine/api.ts';
import type { Plan } from '../../src/model/plan.ts';
import { Problem } from '../../src/problem.ts';
import { ENVIRONMENT, fakeEngine, runOf, untilAborted } from './fakes.ts';

const PLAN: Plan = { weights: 'm/dyt', sites: {} };
const SAMPLING = { temperature: 0, topK: 0, seed: 1, maxTokens: 2 };
const open: MessageChannel[] = [];

/** The far end of a channel whose near end serves a fake engine. */
function connect(methods: Partial<Engine>): RemoteEngine {
  const channel = new MessageChannel();
  open.push(channel);
  serveEngine(fakeEngine(methods), channel.port1);
  const remote = new RemoteEngine(channel.port2);
  channel.port1.start();
  channel.port2.start();
  return remote;
}
afterEach(() => open.splice(0).forEach(({ port1 }) => port1.close()));

test('arguments and results cross as they are', async () => {
  const run = vi.fn<Engine['run']>(async (plan, tokens) => runOf(plan, tokens));
  const remote = connect({ run });
  expect(await remote.environment()).toEqual(ENVIRONMENT);
  expect(await remote.run(PLAN, [3, 4], { probes: true })).toEqual(runOf(PLAN, [3, 4]));
  expect(run).toHaveBeenCalledWith(PLAN, [3, 4], { probes: true, signal: expect.any(AbortSignal) });
});

test('the logits change hands instead of being copied', async () => {
  const result = runOf(PLAN, [1, 2]);
  const { logits } = await connect({ run: async () => result }).run(PLAN, [1, 2], { probes: false });
  expect(logits).toHaveLength(6);
  expect(result.logits.buffer.byteLength).toBe(0);
});

test('callbacks arrive in order, and before the result', async () => {
  const seen: string[] = [];
  const remote = connect({
    generate: async (_plan, _tokens, _sampling, options) => {
      for (const index of [0, 1]) options?.onToken?.({ id: index, text: 'ab'.slice(0, index + 1), index });
      return { ids: [0, 1], text: 'ab', isCached: true, elapsedMs: 1, readbackBytes: 8 };
    },
  });
  const onToken = ({ text }: { text: string }): number => seen.push(text);
  const { text } = await remote.generate(PLAN, [], SAMPLING, { onToken });
  expect([...seen, text]).toEqual(['a', 'ab', 'ab']);
});

test('answers find their own call, also when they overtake each other', async () => {
  const releases: (() => void)[] = [];
  const remote = connect({
    tokenize: async (_model, text) => {
      if (text === 'slow') await new Promise<void>((resolve) => releases.push(resolve));
      return [{ id: 1, text }];
    },
  });
  const slow = remote.tokenize('m', 'slow');
  expect(await remote.tokenize('m', 'quick')).toEqual([{ id: 1, text: 'quick' }]);
  releases[0]?.();
  expect(await slow).toEqual([{ id: 1, text: 'slow' }]);
});

test('a bench that is stopped answers with what it has, after telling what it foresees', async () => {
  const abort = new AbortController();
  const remote = connect({
    bench: async (spec, options) => {
      const { roofline, cells, contestants, predictions } = benchReportOf(spec);
      options?.onPredicted?.({ roofline, cells, contestants, predictions });
      await untilAborted(options?.signal).catch(() => undefined);
      return benchReportOf(spec, { isStopped: true });
    },
  });
  const foreseen: number[] = [];
  const report = await remote.bench(DEFAULT_NORMS, {
    signal: abort.signal,
    onPredicted: ({ predictions }) => {
      foreseen.push(predictions.length);
      abort.abort();
    },
  });
  expect(foreseen).toEqual([3]);
  expect(report).toEqual(benchReportOf(DEFAULT_NORMS, { isStopped: true }));
});

describe('stopping', () => {
  test('an abort reaches the engine and rejects with AbortError', async () => {
    const remote = connect({ run: (_plan, _tokens, { signal }) => untilAborted(signal) });
    const abort = new AbortController();
    const run = remote.run(PLAN, [1], { probes: false, signal: abort.signal });
    abort.abort();
    await expect(run).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('an abort stops its own call only', async () => {
    const remote = connect({
      run: async (plan, tokens, { signal }) => (tokens.length ? runOf(plan, tokens) : untilAborted(signal)),
    });
    const abort = new AbortController();
    const stopped = remote.run(PLAN, [], { probes: false, signal: abort.signal });
    const kept = remote.run(PLAN, [1], { probes: false, signal: new AbortController().signal });
    abort.abort();
    await expect(stopped).rejects.toMatchObject({ name: 'AbortError' });
    expect((await kept).tokens).toHaveLength(1);
  });

  test('what is aborted already is never sent', async () => {
    const run = vi.fn<Engine['run']>();
    const signal = AbortSignal.abort();
    await expect(connect({ run }).run(PLAN, [], { probes: false, signal })).rejects.toMatchObject({
      name: 'AbortError',
    });
    expect(run).not.toHaveBeenCalled();
  });

  test('a generation that is aborted keeps what it has', async () => {
    const remote = connect({
      generate: async (_plan, _tokens, _sampling, options) => {
        options?.onToken?.({ id: 1, text: 'a', index: 0 });
        await untilAborted(options?.signal).catch(() => undefined);
        return { ids: [1], text: 'a', isCached: true, elapsedMs: 1, readbackBytes: 8 };
      },
    });
    const abort = new AbortController();
    const generation = remote.generate(PLAN, [], SAMPLING, {
      signal: abort.signal,
      onToken: () => abort.abort(),
    });
    expect((await generation).ids).toEqual([1]);
  });
});

describe('failing', () => {
  test('a Problem crosses whole, with its cause in words', async () => {
    const remote = connect({
      load: async () => {
        throw new Problem('bad-file', 'Cannot read "x"', 'Fetch it again.', new RangeError('too far'));
      },
    });
    const thrown: unknown = await remote.load('m/dyt').catch((reason: unknown) => reason);
    expect(thrown).toBeInstanceOf(Problem);
    expect(thrown).toMatchObject({
      code: 'bad-file',
      message: 'Cannot read "x"',
      hint: 'Fetch it again.',
      cause: 'RangeError: too far',
    });
  });

  test.each<[string, () => unknown]>([
    ['a mistake of ours', () => new TypeError('x is not a function')],
    ['a thrown string', () => 'x is not a function'],
  ])('%s is told apart', async (_name, thrown) => {
    const remote = connect({
      environment: async () => {
        throw thrown();
      },
    });
    await expect(remote.environment()).rejects.toMatchObject({
      code: 'unexpected',
      message: expect.stringContaining('x is not a function'),
    });
  });

  test('a result that cannot be cloned is a problem, not silence', async () => {
    const remote = connect({ model: async () => Object({ name: () => 'a function' }) as never });
    await expect(remote.model('m')).rejects.toMatchObject({ code: 'unexpected' });
  });

  test('fail() rejects every call under way and to come, and late answers are dropped', async () => {
    const speak: ((text: string) => void)[] = [];
    const remote = connect({
      generate: (_plan, _tokens, _sampling, options) =>
        new Promise((resolve) =>
          speak.push((text) => {
            options?.onToken?.({ id: 1, text, index: 0 });
            resolve({ ids: [1], text, isCached: true, elapsedMs: 1, readbackBytes: 8 });
          }),
        ),
    });
    const onToken = vi.fn<() => void>();
    const calls = [1, 2].map(() => remote.generate(PLAN, [], SAMPLING, { onToken }));
    remote.fail('out of paper');
    for (const call of calls)
      await expect(call).rejects.toMatchObject({
        code: 'unexpected',
        message: expect.stringContaining('out of paper'),
      });
    await vi.waitFor(() => expect(speak).toHaveLength(2));
    for (const say of speak) say('late');
    await new Promise((resolve) => setTimeout(resolve, 20));
    await expect(remote.tokenize('m', 'later')).rejects.toMatchObject({ code: 'unexpected' });
    expect(onToken).not.toHaveBeenCalled();
  });
});
