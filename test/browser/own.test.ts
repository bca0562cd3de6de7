// A person's own WGSL in a member's place: where the compiler's words land, what is told of an answer that differs, and
// that nothing a person writes keeps the engine from its next run.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NormCheck, Run } from '../../src/engine/api.ts';
import { Library } from '../../src/engine/library.ts';
import { OrtEngine } from '../../src/engine/ort.ts';
import { WgslEngine } from '../../src/engine/wgsl.ts';
import { memberSource } from '../../src/kernel/own.ts';
import { weightsId } from '../../src/model/catalog.ts';
import type { Plan } from '../../src/model/plan.ts';
import { NORM_IDS, normSpec } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { problemData } from '../../src/problem.ts';

const library = new Library(new URL('/models/', location.href));
const engine = new WgslEngine(library);
afterAll(() => engine.dispose());

const TOKENS = [47, 730, 272, 428, 75, 296, 274, 806];
const NORM: NormId = 'dyt';
const SOURCE = memberSource(NORM);
const CORE = 'return safe_tanh(drive(x, 1.0));';

let plan: Plan;
let original: Run;
beforeAll(async () => {
  const { weights, sites } = await engine.load(weightsId('fairy-tale-gpt', NORM));
  plan = {
    weights,
    sites: Object.fromEntries(sites.map(({ id }) => [id, { norm: NORM, source: 'twin', alphaScale: 1 }])),
  };
  original = await engine.run(plan, TOKENS, { probes: true });
});

const ownPlan = (source: string): Plan => ({ ...plan, own: { norm: NORM, source } });
const check = (source: string, norm: NormId = NORM): Promise<NormCheck> =>
  engine.checkNorm(norm === NORM ? ownPlan(source) : plan, { norm, source });

/** Over single values, a token's channels, a channel's tokens. */
const ONE_OF_EACH = ['element', 'token', 'channel'].flatMap(
  (over) => NORM_IDS.findLast((id) => normSpec(id).over === over) ?? [],
);

describe('parity', () => {
  it.each([...new Set([...ONE_OF_EACH, NORM])])(
    'of the text that %s comes with is bit for bit, and within tolerance of float64',
    async (id) => {
      const { complaints, parity } = await check(memberSource(id), id);
      expect(complaints).toEqual([]);
      expect(parity?.isSame).toBe(true);
      expect(parity?.rows.filter(({ isEqual }) => !isEqual)).toEqual([]);
      expect(parity?.rows.length).toBe(8);
    },
  );

  it('tells a changed function from the original, and where', async () => {
    const { complaints, parity } = await check(SOURCE.replace(CORE, 'return drive(x, 1.0);'));
    expect(complaints).toEqual([]);
    expect(parity?.isSame).toBe(false);
    const row = parity?.rows.find(({ input }) => input === 'an outlier of 1000');
    // γ tanh(1000 α) + β became γ · 1000 α + β.
    expect(row).toMatchObject({ isEqual: false, nonfiniteCount: 0 });
    expect(row?.maxAbs).toBeGreaterThan(100);
    expect(row?.worst.channel).toBe((row?.worst.shape.C ?? 0) - 1);
    expect(parity?.rows.find(({ input }) => input === 'all 0')?.isEqual).toBe(true);
  });

  it('counts answers that are no numbers', async () => {
    const { parity } = await check(SOURCE.replace(CORE, 'return sqrt(min(x, 0.0) * 1.0);'));
    expect(parity?.rows.find(({ input }) => input === 'normal')?.nonfiniteCount).toBeGreaterThan(0);
  });
});

describe('what the compiler says', () => {
  it.each<[what: string, source: string, line: string, message: RegExp]>([
    ['a name nobody gave', SOURCE.replace(CORE, 'return tanhh(x);'), 'return tanhh(x);', /tanhh/],
    ['a missing semicolon', SOURCE.replace(CORE, CORE.slice(0, -1)), '}', /;/],
    [
      'a wrong type',
      SOURCE.replace('let y = safe_tanh(u);', 'let y: u32 = safe_tanh(u);'),
      'let y: u32',
      /u32/,
    ],
    [
      'lines that end as on Windows',
      SOURCE.replace(CORE, 'return nope;').replaceAll('\n', '\r\n'),
      'nope',
      /nope/,
    ],
    [
      'a brace that is open',
      SOURCE.replace('1.0 - y * y;\n}', '1.0 - y * y;\n'),
      'fn slope',
      /never closed|not closed/,
    ],
    ['no slope', SOURCE.replace('fn slope', 'fn other'), '// dyt', /slope\(u: f32\)/],
    ['a library that is none', SOURCE.replace('tanh, gain', 'tanh, gainn'), 'gainn', /no library "gainn"/],
    [
      'a binding',
      `${SOURCE}\n@group(0) @binding(7) var<storage, read> z: array<f32>;`,
      '@group(0)',
      /no bindings/,
    ],
  ])('of %s is at its line', async (_what, source, line, message) => {
    const { complaints, parity } = await check(source);
    expect(parity).toBeNull();
    const [first] = complaints;
    if (!first) throw new Error('nothing was said');
    const lines = source.split(/\r?\n/);
    expect(first).toMatchObject({ isOwn: true, file: 'norm/dyt.wgsl' });
    expect(first.message).toMatch(message);
    const at = lines[first.line - 1] ?? '';
    // The semicolon is missed where the next word begins.
    expect(line === '}' ? at.trim() : at).toContain(line);
    expect(first.column).toBeLessThanOrEqual(at.length + 1);
  });

  it('stops a run with the line, and the run after goes well', async () => {
    const wrong = engine.run(ownPlan(SOURCE.replace(CORE, 'return tanhh(x);')), TOKENS, { probes: true });
    const { code, message } = problemData(await wrong.catch((thrown: unknown) => thrown));
    expect(code).toBe('shader');
    expect(message).toMatch(/your own norm\/dyt.wgsl:\d+:\d+/);
    const { logits } = await engine.run(plan, TOKENS, { probes: true });
    expect(logits).toEqual(original.logits);
  });
});

describe('the model runs with it', () => {
  it('gives the same logits with the same text, others with another, and says whose they are', async () => {
    const same = await engine.run(ownPlan(`${SOURCE}\n// mine`), TOKENS, { probes: true });
    expect(same.logits).toEqual(original.logits);
    expect(same.sites.every(({ isOwn }) => isOwn)).toBe(true);
    expect(original.sites.some(({ isOwn }) => isOwn)).toBe(false);

    const identity = ownPlan(SOURCE.replace(CORE, 'return drive(x, 1.0);'));
    const other = await engine.run(identity, TOKENS, { probes: true });
    expect(other.top[0]?.logit).not.toBeCloseTo(original.top[0]?.logit ?? 0, 2);
    // The probes' curve is the text's: nothing of tanh is left to hold the largest value at 1.
    expect(Math.max(...other.sites.map(({ curveRange }) => curveRange.core))).toBeGreaterThan(1.5);
    const [inspected] = await engine.inspect(identity, TOKENS, ['ln_f']);
    expect(inspected?.isOwn).toBe(true);
    const sampling = { temperature: 0, topK: 1, seed: 1, maxTokens: 6 };
    const [mine, theirs] = [
      await engine.generate(identity, TOKENS, sampling),
      await engine.generate(plan, TOKENS, sampling),
    ];
    expect(mine.ids).not.toEqual(theirs.ids);
    expect(await engine.lens(identity, TOKENS, 3)).toEqual([]);
  });

  it('is timed beside the original in the same rounds', async () => {
    const timing = await engine.timeNorm({ norm: NORM, source: SOURCE }, { T: 64, C: 128 });
    expect(timing.ownUs).toBeGreaterThan(0);
    expect(timing.originalUs).toBeGreaterThan(0);
    const { ratio = 0, ci = [0, 0], rounds = 0 } = timing.compared ?? {};
    expect(rounds).toBeGreaterThanOrEqual(6);
    expect(ci[0]).toBeLessThanOrEqual(ratio);
    expect(ci[1]).toBeGreaterThanOrEqual(ratio);
  });

  it('is no business of onnxruntime', async () => {
    const own = { norm: NORM, source: SOURCE };
    const cpu = new OrtEngine(library);
    const asks = [
      () => engine.judge(ownPlan(SOURCE), TOKENS),
      () => cpu.run(ownPlan(SOURCE), TOKENS, { probes: true }),
      () => cpu.checkNorm(ownPlan(SOURCE), own),
    ];
    for (const ask of asks) {
      const { code, message } = problemData(await ask().catch((thrown: unknown) => thrown));
      expect(code).toBe('unsupported');
      expect(message).toMatch(/your own DyT.*needs WebGPU/);
    }
    await cpu.dispose();
  });
});

describe('a text that never ends', () => {
  // Its answer depends on what it does, so that no compiler leaves it out.
  const SPIN = 'loop { spin = spin * 1664525u + 1013904223u; if (spin == 7u && theta[0] > 1e30) { break; } }';
  const endless = SOURCE.replace(CORE, `var spin = u32(c);\n  ${SPIN}\n  return f32(spin);`);

  it('is found before it costs the device, at its loop', async () => {
    const { complaints, parity } = await check(endless);
    expect(parity).toBeNull();
    const line = 1 + endless.split('\n').findIndex((text) => text.includes('loop {'));
    expect(complaints).toMatchObject([{ isOwn: true, line, column: 3, length: 4 }]);
    expect(complaints[0]?.message).toMatch(/does not end/);
    const run = engine.run(ownPlan(endless), TOKENS, { probes: true });
    expect(problemData(await run.catch((thrown: unknown) => thrown))).toMatchObject({ code: 'shader' });
    const { logits } = await engine.run(plan, TOKENS, { probes: true });
    expect(logits).toEqual(original.logits);
  });

  it('is named when the device goes while it runs, and the next run opens another', async () => {
    const long = SOURCE.replace(
      CORE,
      'var s = 0.0; for (var i = 0u; i < 9999u; i++) { s += sin(x); } return s;',
    );
    const running = engine.run(ownPlan(long), TOKENS, { probes: true }).catch((thrown: unknown) => thrown);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await engine.loseDevice();
    const { code, message } = problemData(await running);
    expect(code).toBe('own-norm');
    expect(message).toMatch(/^Cannot finish your own DyT/);
    const { logits } = await engine.run(plan, TOKENS, { probes: true });
    expect(logits).toEqual(original.logits);
  });
});
