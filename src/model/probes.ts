// Probes as dispatches: what they read, and where they write it.
import type { GpuBuffer } from '../gpu/device.ts';
import { keyWidth } from '../kernel/attention.ts';
import type { AttentionShape } from '../kernel/attention.ts';
import type { KernelSpec } from '../kernel/compile.ts';
import {
  countsBytes,
  entropyBytes,
  entropyProbe,
  histogramProbe,
  statsBytes,
  tokenProbe,
} from '../kernel/probe.ts';
import type { NormId } from '../norm/registry.ts';
import type { Op } from './op.ts';
import type { Workspace } from './workspace.ts';

type Buffers = Readonly<Record<string, GpuBuffer>>;
type Dispatch = Pick<Op, 'workgroups' | 'bytes' | 'flops'> & {
  readonly spec: KernelSpec;
  readonly buffers: Buffers;
};

/**
 * Statistics and histogram of a site, its `ids` among all sites.
 * @param first parameters of the first token where they are its own
 */
export function siteProbes(
  space: Workspace,
  site: {
    readonly siteId: string;
    readonly ids: readonly string[];
    readonly norm: NormId;
    readonly C: number;
    readonly eps: number;
  },
  buffers: Buffers,
  first: GpuBuffer | undefined,
): (Dispatch & { readonly label: string })[] {
  const { siteId, ids, norm, C, eps } = site;
  const { rows } = space;
  const probeBuffers = {
    ...buffers,
    token_stats: space.probes('token_stats', statsBytes(ids.length, rows)),
    counts: space.probes('counts', countsBytes(ids.length)),
    site: space.site(ids.indexOf(siteId)),
  };
  // All rows at once, or the first and the others; the histogram reads what was found of all.
  const parts = first
    ? [
        { from: 0, own: { theta: first }, rowsOf: () => 1 },
        { from: 1, own: {}, rowsOf: (T: number) => T - 1 },
      ]
    : [{ from: 0, own: {}, rowsOf: (T: number) => T }];
  return (
    [
      ['token', tokenProbe],
      ['histogram', histogramProbe],
    ] as const
  ).flatMap(([suffix, probe]) =>
    parts.map(({ from, own, rowsOf }) => ({
      label: `${siteId}.${suffix}`,
      spec: probe(norm, C, eps, rows, from),
      buffers: { ...probeBuffers, ...own },
      workgroups: (T: number) => [rowsOf(T)] as const,
      bytes: (T: number) => 2 * rowsOf(T) * C * 4,
      flops: (T: number) => 20 * rowsOf(T) * C,
    })),
  );
}

/** Entropy of every head's attention in a layer, one of `L`, after its keys are cached. */
export function attentionProbe(
  space: Workspace,
  shape: AttentionShape & { readonly layer: number; readonly L: number },
  buffers: { readonly qkv: GpuBuffer; readonly cache: GpuBuffer; readonly y: GpuBuffer },
): Dispatch {
  const { layer, L, C, H, isCausal } = shape;
  const keys = (T: number, past: number): number => past + (isCausal ? (T + 1) / 2 : T);
  const { spec, workgroups } = entropyProbe(shape);
  return {
    spec,
    buffers: {
      ...buffers,
      entropy: space.probes('entropy', entropyBytes(L, H, space.rows)),
      layer: space.site(layer),
    },
    workgroups,
    bytes: (T) => (T * C + T * keyWidth(shape) + T * H) * 4,
    flops: (T, past) => 2 * C * T * keys(T, past),
  };
}
