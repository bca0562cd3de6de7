// A dropped ONNX file as plain data: what was found in it, what its sites shall become, and what came of it.
import type { OpenedOnnx } from '../engine/onnx-file.ts';
import type { Summary } from '../bench/summary.ts';
import type { OutputDifference } from '../onnx/compare.ts';
import type { Feed } from '../onnx/feeds.ts';
import type { OnnxSwaps } from '../onnx/surgery.ts';
import type { NormId } from '../norm/registry.ts';
import type { Experiment } from './store.ts';

/** Spread of a site's tensors, and how far its output moved. */
export type SiteChange = {
  readonly inStd: number;
  readonly outStd: number;
  /** After the swaps; null without any. */
  readonly newOutStd: number | null;
  readonly maxAbs: number | null;
};

export type ShownOnnxRun = {
  readonly swaps: OnnxSwaps;
  readonly engine: string;
  readonly feeds: readonly Pick<Feed, 'name' | 'dims' | 'from'>[];
  readonly originalMs: Summary;
  readonly rewrittenMs: Summary | null;
  readonly differences: readonly OutputDifference[];
  readonly sites: Readonly<Record<string, SiteChange>>;
};

export type OnnxState = {
  readonly opened: OpenedOnnx | null;
  /** The member that a site becomes; a site that is absent stays as it is. */
  readonly members: Readonly<Record<string, NormId>>;
  /** Token ids as typed. */
  readonly ids: string;
  readonly run: ShownOnnxRun | null;
};

export const NO_ONNX: OnnxState = { opened: null, members: {}, ids: '1 2 3 4 5 6 7 8', run: null };

export const setOnnx = (store: Experiment, patch: Partial<OnnxState>): void =>
  store.setState(({ onnx }) => ({ onnx: { ...onnx, ...patch } }));

export const swapsOf = ({ members }: OnnxState): OnnxSwaps =>
  Object.fromEntries(Object.entries(members).map(([id, norm]) => [id, { norm }]));

/** Puts `norm` at every site that can become it; null leaves all as they are. */
export function chooseEverywhere(store: Experiment, norm: NormId | null): void {
  const sites = store.getState().onnx.opened?.sites ?? [];
  const able = norm ? sites.filter((site) => site.norm !== norm && !site.refusals[norm]) : [];
  setOnnx(store, { members: Object.fromEntries(able.flatMap(({ id }) => (norm ? [[id, norm]] : []))) });
}

export function chooseAt(store: Experiment, id: string, norm: NormId | null): void {
  const { [id]: _, ...others } = store.getState().onnx.members;
  setOnnx(store, { members: norm ? { ...others, [id]: norm } : others });
}
