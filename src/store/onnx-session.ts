// The part of the session that speaks of ONNX files, dropped or to be written.
import type { Engine } from '../engine/api.ts';
import type { OnnxAnswers } from '../engine/onnx-file.ts';
import type { OnnxOptions } from '../onnx/write.ts';
import { Problem, problemData } from '../problem.ts';
import { setOnnx, swapsOf } from './onnx.ts';
import type { ShownOnnxRun, SiteChange } from './onnx.ts';
import { planOf, setRun, setView } from './store.ts';
import type { Experiment } from './store.ts';

function idsOf(text: string): number[] {
  const ids = text.split(/[\s,]+/).filter(Boolean);
  const bad = ids.find((id) => !/^\d{1,9}$/.test(id));
  if (bad === undefined && ids.length > 0) return ids.map(Number);
  throw new Problem(
    'usage',
    `Cannot run these tokens: ${bad === undefined ? 'there are none' : `${JSON.stringify(bad.slice(0, 40))} is no token id`}`,
    'Write whole numbers with spaces between them.',
  );
}

const std = (values: Float32Array | null | undefined): number => {
  if (!values?.length) return Number.NaN;
  const mean = values.reduce((sum, value) => sum + value / values.length, 0);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2 / values.length, 0));
};

function changes(original: OnnxAnswers, rewritten: OnnxAnswers | null): Record<string, SiteChange> {
  return Object.fromEntries(
    [...original.sites].map(([id, { in: x, out }]) => {
      const after = rewritten?.sites.get(id)?.out.values;
      const before = out.values;
      const maxAbs =
        after && before
          ? after.reduce((most, value, i) => Math.max(most, Math.abs(value - (before[i] ?? Number.NaN))), 0)
          : null;
      return [
        id,
        { inStd: std(x.values), outStd: std(before), newOutStd: after ? std(after) : null, maxAbs },
      ];
    }),
  );
}

type Instead = (work: (signal: AbortSignal) => Promise<void>) => Promise<void>;

export type OnnxSession = {
  /** The configured model as an ONNX file. */
  readonly exportOnnx: (options: OnnxOptions) => Promise<Uint8Array | null>;
  readonly openOnnx: (files: readonly File[]) => Promise<void>;
  /** Runs the file as it came and with its swaps. */
  readonly runOnnx: () => Promise<void>;
  /** The file with its swaps; null when it cannot be written. */
  readonly exportOnnxFile: () => Promise<Uint8Array | null>;
};

export function createOnnxSession(store: Experiment, engine: Engine, instead: Instead): OnnxSession {
  return {
    exportOnnx: async (options) => {
      const { config, run: state } = store.getState();
      if (!state.loaded) return null;
      try {
        return await engine.exportOnnx(planOf(config, state.loaded.sites), options);
      } catch (thrown) {
        setRun(store, { problem: problemData(thrown) });
        return null;
      }
    },
    openOnnx: (files) =>
      instead(async (signal) => {
        setRun(store, { phase: 'loading', problem: null });
        const opened = await engine.openOnnx(files);
        signal.throwIfAborted();
        setOnnx(store, { opened, members: {}, run: null });
        setView(store, { section: 'file' });
      }),
    runOnnx: () =>
      instead(async (signal) => {
        const { onnx } = store.getState();
        if (!onnx.opened) return;
        setRun(store, { phase: 'running', problem: null });
        const swaps = swapsOf(onnx);
        const inputs = { tokens: idsOf(onnx.ids), hasNoise: true };
        const taps = onnx.opened.sites.map(({ id }) => id);
        const result = await engine.runOnnx(onnx.opened.id, { inputs, swaps, taps }, { signal });
        signal.throwIfAborted();
        const { original, rewritten } = result;
        const run: ShownOnnxRun = {
          swaps,
          engine: result.engine,
          feeds: result.feeds,
          originalMs: original.wallMs.summary,
          rewrittenMs: rewritten?.wallMs.summary ?? null,
          differences: result.differences,
          sites: changes(original, rewritten),
        };
        setOnnx(store, { run });
      }),
    exportOnnxFile: async () => {
      const { onnx } = store.getState();
      let file: Uint8Array | null = null;
      await instead(async () => {
        if (onnx.opened) file = await engine.exportOnnxFile(onnx.opened.id, swapsOf(onnx));
      });
      return file;
    },
  };
}
