// A bench as a file: it comes back as it went, refuses what is none of ours by name, and marks other kernels.
import { csvParse } from 'd3-dsv';
import { describe, expect, test } from 'vitest';
import { normSteps } from '../../src/bench/norms.ts';
import type { BenchReport } from '../../src/bench/spec.ts';
import { defaultModel } from '../../src/bench/spec.ts';
import { sha256 } from '../../src/format/fetch.ts';
import { joinSources } from '../../src/kernel/compile.ts';
import { Problem } from '../../src/problem.ts';
import { benchCsv, benchJson, benchMarkdown, benchTrace } from '../../src/receipt/bench.ts';
import { kernelNotes, readReceipt } from '../../src/receipt/read.ts';
import { runReceipt } from '../../src/receipt/run.ts';
import { benchReportOf, CELL } from './bench-report.ts';
import { ENVIRONMENT, INFO, runOf } from './fakes.ts';

const REPORT = benchReportOf();

describe('JSON', () => {
  test('comes back as it went, samples and missing samples included', () => {
    const read = readReceipt(benchJson(REPORT));
    expect(read).toMatchObject({ kind: 'bench', report: REPORT });
    const model = benchReportOf(
      { ...defaultModel([{ weights: 'm/dyt', norm: 'dyt' }]), baselines: ['wasm'] },
      { roofline: null, isStopped: true },
    );
    expect(readReceipt(benchJson(model))).toMatchObject({ report: model });
  });

  test('a number that is none is not written in silence', () => {
    const [result] = REPORT.results;
    if (!result) throw new Error('no result');
    expect(() => benchJson({ ...REPORT, results: [{ ...result, batch: Number.NaN }] })).toThrow();
  });

  test('a run is told from a bench', () => {
    const plan = { weights: 'fairy-tale-gpt/layernorm', sites: {} };
    const record = {
      environment: ENVIRONMENT,
      browser: { userAgent: '', brands: [], platform: '', logicalProcessors: 1 },
      info: INFO,
      run: { ...runOf(plan, [1, 2]), sites: [] },
      prompt: 'p',
      sampling: { temperature: 0, topK: 0, seed: 1, maxTokens: 1 },
      timings: null,
      generated: null,
      createdAt: new Date(0),
      comparison: null,
      lens: null,
    };
    const receipt = runReceipt(record);
    expect(readReceipt(JSON.stringify(receipt))).toEqual({ kind: 'run', receipt, notes: [] });
  });
});

describe('what is refused, and why', () => {
  const why = (text: string): string => {
    try {
      readReceipt(text, 'x.json');
    } catch (thrown) {
      if (!(thrown instanceof Problem)) throw thrown;
      expect(thrown.code).toBe('bad-file');
      return thrown.message;
    }
    throw new Error('it was read');
  };
  const changed = (patch: object): string => JSON.stringify({ ...REPORT, ...patch });

  test.each<[string, string, string]>([
    ['no JSON', '{"schema": "normscope/bench/1"', 'no JSON'],
    ['empty', '', 'no JSON'],
    ['a list', '[1]', 'no schema of Normscope'],
    ['null', 'null', 'no schema of Normscope'],
    ['another program', '{"schema":"dyt-bench/1"}', 'no schema of Normscope'],
    ['a schema that is a number', '{"schema":1}', 'no schema of Normscope'],
    ['a newer bench', '{"schema":"normscope/bench/2"}', 'normscope/bench/2, and this version reads up to 1'],
    ['a newer run', '{"schema":"normscope/run/7"}', 'normscope/run/7'],
    ['a model', '{"schema":"normscope/model/1"}', 'it is a model'],
    ['a version that never was', '{"schema":"normscope/bench/0"}', 'never written'],
  ])('%s', (_name, text, reason) => {
    expect(why(text)).toContain('Cannot open "x.json": ');
    expect(why(text)).toContain(reason);
  });

  test.each<[string, object, string]>([
    [
      'samples that are text',
      { results: [{ ...REPORT.results[0], samplesUs: ['1'] }] },
      'results.0.samplesUs.0',
    ],
    ['a field too many', { extra: 1 }, 'extra'],
    ['a field too few', { roofline: undefined }, 'roofline'],
    ['a norm that is none', { spec: { ...REPORT.spec, members: ['batman'] } }, 'spec.members.0'],
    ['a hash that is none', { kernels: [{ ...REPORT.kernels[0], sha256: 'zz' }] }, 'kernels.0.sha256'],
    [
      'a level that is none',
      { comparisons: [{ ...REPORT.comparisons[0], level: 'cpu' }] },
      'comparisons.0.level',
    ],
    ['a confidence of 1', { spec: { ...REPORT.spec, confidence: 1 } }, 'spec.confidence'],
    ['negative bytes', { memory: [{ ...REPORT.memory[0], peakBytes: -1 }] }, 'memory.0.peakBytes'],
    ['a result of nobody', { contestants: [] }, 'it speaks of "layernorm tuned"'],
    ['a cell that is not there', { cells: [] }, `it speaks of "${CELL.id}"`],
    ['a kernel that is not there', { kernels: [] }, 'it speaks of "layernorm tuned#abababab"'],
    ['a session as a list', { session: [] }, 'session'],
  ])('%s', (_name, patch, reason) => {
    expect(why(changed(patch))).toContain(reason);
  });

  test('a key that would reach into prototypes changes nothing', () => {
    const text = changed({}).replace('"WG":64', '"__proto__":{"polluted":true},"WG":64');
    expect(() => readReceipt(text)).not.toThrow(TypeError);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

describe('what is marked', () => {
  /** The report with the kernels that this version runs on its machine. */
  function withOwnKernels(): BenchReport {
    const machine = { subgroups: null, sharedBytes: 16384, mostLanes: 256 };
    const limits = { maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 };
    const shape = { T: 4, C: 8, dtype: 'f32', hasResidual: false } as const;
    return {
      ...REPORT,
      environment: { ...REPORT.environment, limits },
      kernels: REPORT.kernels.map((kernel) => {
        const member = (['layernorm', 'dyt'] as const).find((id) => kernel.id.startsWith(id));
        const [step] = member ? normSteps(machine, member, 'tuned', shape) : [];
        if (!step) return kernel;
        return { ...kernel, sha256: sha256(new TextEncoder().encode(joinSources(step.spec).code)) };
      }),
    };
  }

  test('nothing, where kernels and version are ours', () => {
    const own = withOwnKernels();
    expect(kernelNotes(own)).toEqual([]);
    const { APP_VERSION: version, APP_COMMIT: commit } = import.meta.env;
    const app = { name: 'Normscope', version, commit } as const;
    expect(readReceipt(benchJson({ ...own, app })).notes).toEqual([]);
  });

  test('another version, and each norm whose kernel is another', () => {
    const own = withOwnKernels();
    const kernels = own.kernels.map((k) => (k.id.startsWith('dyt') ? { ...k, sha256: 'cd'.repeat(32) } : k));
    const { notes } = readReceipt(benchJson({ ...own, kernels }));
    expect(notes).toHaveLength(2);
    expect(notes[0]).toContain('Made by Normscope 0.1.0 (abcdef)');
    expect(notes[1]).toContain('dyt · tuned');
    expect(notes[1]).not.toContain('layernorm');
  });
});

describe('other forms', () => {
  test('CSV holds every sample, and words with quotes and line ends survive', () => {
    const rows = csvParse(benchCsv(REPORT));
    const samples = rows.filter(({ table }) => table === 'sample');
    expect(samples).toHaveLength(REPORT.results.length * 4);
    expect(samples.filter(({ value }) => value === '')).toHaveLength(REPORT.results.length);
    expect(rows.find(({ table }) => table === 'failure')?.['value']).toBe('it said, "no"\nand left');
    expect(rows.find(({ name }) => name === 'userAgent')?.['value']).toBe('Paper, "1.0"');
    expect(rows.find(({ table, name }) => table === 'comparison' && name === 'high')).toMatchObject({
      contestant: 'layernorm tuned',
      index: 'dyt tuned',
      value: '0.9',
    });
  });

  test('Markdown is one table, a row a result, with bars in words escaped', () => {
    const [first, ...others] = REPORT.contestants;
    if (!first) throw new Error('no contestant');
    const text = benchMarkdown({ ...REPORT, contestants: [{ ...first, label: 'a | b' }, ...others] });
    const lines = text.split('\n').filter((line) => line.startsWith('|'));
    expect(lines).toHaveLength(2 + REPORT.results.length);
    const columns = (line: string): number => line.split(/(?<!\\)\|/).length;
    expect(new Set(lines.map(columns)).size).toBe(1);
    expect(text).toContain('a \\| b');
    expect(text).toContain('no GPU at all** (software adapter)');
    const dyt = lines.find((line) => line.includes('| gpu | dyt')) ?? '';
    expect(dyt).toContain('1.18 × (1.11 to 1.25) | slower');
  });

  test('a trace has an event an operation, in order, with times of one forward', () => {
    const trace = JSON.parse(benchTrace(REPORT) ?? '') as {
      traceEvents: {
        ph: string;
        name: string;
        ts?: number;
        dur?: number;
        cat?: string;
        pid: number;
        tid: number;
      }[];
    };
    const events = trace.traceEvents.filter(({ ph }) => ph === 'X');
    expect(events.map(({ name, cat, ts, dur }) => [name, cat, ts, dur])).toEqual([
      ['ln_f', 'norm', 0, 2],
      ['lm_head', 'matmul', 2.5, 6],
    ]);
    expect(new Set(trace.traceEvents.map(({ pid, tid }) => `${pid}.${tid}`)).size).toBe(1);
    expect(benchTrace(REPORT, 5)).toBeNull();
  });
});
