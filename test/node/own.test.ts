// A person's own WGSL as text: where a message about the joined module lands in it, what is wrong with it before a
// compiler looks, and how it is told apart from the member it started from.
import { describe, expect, test, vi } from 'vitest';
import { parityRow } from '../../src/bench/own.ts';
import { patiently } from '../../src/engine/patience.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { complaintOf, joinSources, ShaderProblem } from '../../src/kernel/compile.ts';
import { normKernel } from '../../src/kernel/norm.ts';
import { endlessLoop, memberSource, mistakesOf, trialKernel, withOwn } from '../../src/kernel/own.ts';
import { NORM_IDS } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { Problem } from '../../src/problem.ts';
import { runReceipt } from '../../src/receipt/run.ts';
import { recordedPlan } from '../../src/receipt/recorded.ts';
import { applyLink, linkOf, readLink } from '../../src/store/link.ts';
import {
  editedNorm,
  isOriginal,
  leaveOwn,
  namesIn,
  openEditor,
  resetOwn,
  typeOwn,
} from '../../src/store/own.ts';
import { createSession } from '../../src/store/session.ts';
import { createExperiment, planOf, samePlan, setConfig, setRun } from '../../src/store/store.ts';
import { ENVIRONMENT, fakeEngine, INFO, runOf, SITES } from './fakes.ts';

const MACHINE = { subgroups: null, sharedBytes: 16384, mostLanes: 256 };
const NORM: NormId = 'dyt';
const SOURCE = memberSource(NORM);
const kernelOf = (form: 'plain' | 'tuned') =>
  normKernel(NORM, { C: 128, eps: 1e-5, dtype: 'f32', form, hasResidual: false }, MACHINE).spec;

describe('a message about the joined module', () => {
  test.each(['plain', 'tuned'] as const)('is one about the line of the text, in the %s kernel', (form) => {
    // Another library and other line ends: what comes before the text is longer, its own lines are not.
    const source = SOURCE.replace('tanh, gain', 'tanh, gain, erf').replaceAll('\n', '\r\n');
    const { code, segments } = joinSources(withOwn(kernelOf(form), { norm: NORM, source }));
    const lines = code.split('\n');
    const own = source.split('\r\n');
    for (const [index, text] of own.entries()) {
      if (!text.startsWith('fn ')) continue;
      const lineNum = 1 + lines.indexOf(text);
      expect(lineNum).toBeGreaterThan(index + 1);
      const message = { lineNum, linePos: 4, length: 5, message: 'no' };
      expect(complaintOf(message, segments)).toEqual({
        file: 'norm/dyt.wgsl',
        isOwn: true,
        line: index + 1,
        column: 4,
        length: 5,
        message: 'no',
      });
    }
    const last = { lineNum: lines.length - 1, linePos: 1, length: 0, message: 'the carrier' };
    expect(complaintOf(last, segments)).toMatchObject({ isOwn: false });
    const host = { lineNum: 1, linePos: 1, length: 0, message: 'the host' };
    expect(complaintOf(host, segments)).toMatchObject({ isOwn: false, file: 'constants' });
  });

  test('counts lines as an editor does, whatever ends a line in WGSL', () => {
    const source = `// a\u2028b\v c\rfn x() {}\n${SOURCE}`;
    const { code, segments } = joinSources(withOwn(kernelOf('plain'), { norm: NORM, source }));
    const lineNum = 1 + code.split('\n').indexOf('fn x() {}');
    expect(complaintOf({ lineNum, linePos: 1, length: 0, message: '' }, segments).line).toBe(2);
  });

  test('hints at the editor only where it is about a text of somebody', () => {
    const complaint = { file: 'norm/dyt.wgsl', line: 1, column: 1, length: 0, message: '' };
    expect(new ShaderProblem('', '', [{ ...complaint, isOwn: true }]).hint).toMatch(/editor/);
    expect(new ShaderProblem('', '', [{ ...complaint, isOwn: false }]).hint).toMatch(/Report/);
  });
});

describe('a text is looked at before a compiler is', () => {
  test.each(NORM_IDS)('%s comes without a mistake', (norm) => {
    expect(mistakesOf({ norm, source: memberSource(norm) })).toEqual([]);
  });

  test.each<[what: string, source: string, place: string, message: RegExp]>([
    ['a brace too few', SOURCE.replace('return 1.0 - y * y;\n}', 'return 1.0 - y * y;'), '{', /never closed/],
    ['a brace too many', `${SOURCE}}`, '}', /closes nothing/],
    [
      'brackets of two kinds',
      SOURCE.replace('gain(theta[ALPHA], x)', 'gain(theta[ALPHA), x]'),
      '[',
      /not closed/,
    ],
    ['a library that is none', SOURCE.replace('tanh, gain', 'tanh, loss'), 'loss', /no library "loss"/],
    ['a binding', `${SOURCE}@group(0) @binding(0) var<uniform> z: f32;`, '@group', /no bindings/],
    ['no core', SOURCE.replace('fn core', 'fn cor'), '//', /no function core\(x: f32/],
    ['a comment in place of a function', SOURCE.replace('fn slope', '// fn slope'), '', /./],
  ])('%s is at its place', (_what, source, place, message) => {
    const [first] = mistakesOf({ norm: NORM, source });
    if (!first) throw new Error('nothing was found');
    expect(first.message).toMatch(message);
    expect(first.isOwn).toBe(true);
    const line = source.split('\n')[first.line - 1] ?? '';
    expect(line.slice(first.column - 1).startsWith(place)).toBe(true);
  });

  test('a bracket in a comment has no partner to look for', () => {
    expect(mistakesOf({ norm: NORM, source: `// (\n/* { [\n */\n${SOURCE}` })).toEqual([]);
  });

  test('every loop is counted on its own line, and comes back by its number', () => {
    const source = SOURCE.replace(
      'let y = safe_tanh(u);',
      'var y = 0.0; // loop {\n  for (var i = 0; i < 3; i++) { y += u; }\n  while (y > 9.0) { y -= 1.0; }',
    );
    const own = { norm: NORM, source };
    const text = trialKernel(own, 64)?.spec.texts?.['norm/dyt'] ?? '';
    expect(text.split('\n').length).toBe(source.split('\n').length);
    expect(text).toContain('i++) { if (looped(1u)) { break; } y += u; }');
    expect(text).toContain('(y > 9.0) { if (looped(2u)) { break; } y -= 1.0; }');
    const { line, column, length } = endlessLoop(own, 2);
    expect(source.split('\n')[line - 1]?.slice(column - 1, column - 1 + length)).toBe('while');
    expect(trialKernel({ norm: NORM, source: SOURCE }, 64)).toBeNull();
  });
});

describe('a row of the comparison', () => {
  const shape = { T: 2, C: 2 };
  const want = Float64Array.of(1, -2, 1000, 0.001);
  const row = (...got: number[]) =>
    parityRow('x', shape, 'plain', { got: Float32Array.from(got), want, gamma: [1, 1] }).row;

  test('is equal within its tolerance, whatever the size of the value', () => {
    expect(row(1, -2, 1000.005, 0.001)).toMatchObject({ isEqual: true, nonfiniteCount: 0 });
    expect(row(1.0001, -2, 1000, 0.001)).toMatchObject({ isEqual: false, worst: { token: 0, channel: 0 } });
  });

  test('names the place that is furthest over it, and counts what is no number', () => {
    expect(row(1, -2, 1000.5, 0.5).worst).toMatchObject({ token: 1, channel: 1, want: 0.001, got: 0.5 });
    const broken = row(1, Number.NaN, 7, Infinity);
    expect(broken).toMatchObject({ isEqual: false, nonfiniteCount: 2, maxAbs: 993 });
    expect(broken.worst).toMatchObject({ token: 0, channel: 1 });
  });
});

describe('patience', () => {
  const own = { norm: NORM, source: '' };
  const fake = () => {
    const destroy = vi.fn();
    return { destroy, gpu: { device: { destroy } } as unknown as Gpu };
  };

  test('ends with the device, and says whose text it was', async () => {
    const { destroy, gpu } = fake();
    const never = patiently(gpu, own, new Promise(() => undefined), 5);
    await expect(never).rejects.toMatchObject({ code: 'own-norm', message: /your own DyT.*still at it/ });
    expect(destroy).toHaveBeenCalledOnce();
  });

  test('blames the text for a device that went meanwhile, and for nothing else', async () => {
    const { destroy, gpu } = fake();
    const lost = Promise.reject(new Problem('device-lost', 'gone', ''));
    await expect(patiently(gpu, own, lost, 1000)).rejects.toMatchObject({
      code: 'own-norm',
      message: /gone/,
    });
    const other = Promise.reject(new Problem('network', 'no network', ''));
    await expect(patiently(gpu, own, other, 1000)).rejects.toMatchObject({ code: 'network' });
    expect(await patiently(gpu, own, Promise.resolve(7), 1000)).toBe(7);
    expect(destroy).not.toHaveBeenCalled();
  });
});

describe('in the store', () => {
  const source = SOURCE.replace('safe_tanh(drive(x, 1.0))', 'drive(x, 1.0)');
  const ready = (methods: Parameters<typeof fakeEngine>[0] = {}) => {
    const store = createExperiment();
    const session = createSession(store, fakeEngine(methods));
    setConfig(store, { norm: NORM, prompt: 'ab' });
    openEditor(store, NORM);
    return { store, session, state: () => store.getState() };
  };

  test('the text of each member is kept, and Reset forgets one', () => {
    const { store, state } = ready();
    typeOwn(store, source);
    const [other = NORM] = NORM_IDS;
    openEditor(store, other);
    expect(isOriginal(editedNorm(state()))).toBe(true);
    openEditor(store, NORM);
    expect(editedNorm(state()).source).toBe(source);
    setConfig(store, { own: editedNorm(state()) });
    resetOwn(store);
    expect(isOriginal(editedNorm(state()))).toBe(true);
    expect(state().config.own).toBeNull();
  });

  test('a text is in the plan where its member is, in the receipt, and in no link', async () => {
    const { store, session, state } = ready();
    await session.start();
    typeOwn(store, source);
    await session.runOwn();
    await vi.waitFor(() => expect(state().run.timings?.plan.own).toEqual({ norm: NORM, source }));
    const { result } = state().run;
    if (!result) throw new Error('no run');
    expect(result.sites.every(({ isOwn }) => isOwn)).toBe(true);
    expect(namesIn(result.plan)).toEqual(['your own DyT']);
    // What was said of the member, or of another text, is not said of this one.
    const { own: mine, ...theirs } = result.plan;
    expect(samePlan(result.plan, theirs)).toBe(false);
    expect(samePlan(result.plan, { ...theirs, own: { norm: NORM, source: `${source} ` } })).toBe(false);
    expect(samePlan(result.plan, { ...theirs, ...(mine ? { own: { ...mine } } : {}) })).toBe(true);
    expect(linkOf(state())).not.toMatch(/own|drive/);
    const receipt = runReceipt({
      environment: ENVIRONMENT,
      browser: { userAgent: '', brands: [], platform: '', logicalProcessors: null },
      info: INFO,
      run: result,
      prompt: 'ab',
      sampling: state().config.sampling,
      lens: null,
      timings: null,
      comparison: null,
      generated: null,
      createdAt: new Date(0),
    });
    expect(recordedPlan(receipt)).toEqual(result.plan);
    const { own: _, ...without } = result.plan;
    leaveOwn(store);
    expect(planOf(state().config, SITES)).toEqual(without);
    setConfig(store, { own: { norm: NORM, source } });
    applyLink(store, readLink(linkOf(state())));
    expect(state().config.own).toBeNull();
  });

  test('a text that does not compile is told, and never reaches the model', async () => {
    const run = vi.fn(async (plan: Parameters<typeof runOf>[0], ids: readonly number[]) => runOf(plan, ids));
    const complaint = { file: 'norm/dyt.wgsl', isOwn: true, line: 3, column: 1, length: 0, message: 'no' };
    const { store, session, state } = ready({
      run,
      checkNorm: async () => ({ complaints: [complaint], parity: null }),
    });
    await session.start();
    typeOwn(store, 'no');
    await session.runOwn();
    expect(state().own.checked?.check.complaints).toEqual([complaint]);
    expect(state().config.own).toBeNull();
    expect(run).toHaveBeenCalledTimes(1);
  });

  test('a text that takes the device is named, and what ran before runs again', async () => {
    const { store, session, state } = ready({
      run: async (plan, ids) => {
        if (plan.own) throw new Problem('own-norm', 'Cannot finish your own DyT: it loops', '');
        return runOf(plan, ids);
      },
    });
    await session.start();
    typeOwn(store, source);
    await session.runOwn();
    await vi.waitFor(() => expect(state().own.problem?.message).toMatch(/it loops/));
    await vi.waitFor(() => expect(state().run.phase).toBe('idle'));
    expect(state().config.own).toBeNull();
    expect(state().run.result?.plan.own).toBeUndefined();
    expect(state().run.problem).toBeNull();
    expect(editedNorm(state()).source).toBe(source);
  });

  test('a .wgsl file comes into the editor in place of the member it names', async () => {
    const { store, session, state } = ready();
    const file = (text: string, path = 'mine.wgsl') => ({ path, file: new File([text], path) });
    openEditor(store, NORM_IDS[0] ?? NORM);
    await session.openFiles([file(source)]);
    expect(editedNorm(state())).toEqual({ norm: NORM, source });
    expect(state().own.isOpen).toBe(true);
    await session.openFiles([file('fn core() {}')]);
    expect(editedNorm(state())).toEqual({ norm: NORM, source: 'fn core() {}' });
    await session.openFiles([file('x'.repeat(200_000))]);
    expect(state().run.problem?.code).toBe('bad-file');
    expect(editedNorm(state()).source).toBe('fn core() {}');
    setRun(store, { problem: null });
  });
});
