// What a program with probes leaves on the device, read back and told.
import type { GpuBuffer } from '../gpu/device.ts';
import { countsBytes, entropyBytes, statsBytes, unpackEntropy, unpackStats } from '../kernel/probe.ts';
import { sitesOf } from '../model/model.ts';
import type { Checkpoint } from '../model/model.ts';
import type { Plan } from '../model/plan.ts';
import type { Workspace } from '../model/workspace.ts';
import { reportSite } from './answer.ts';
import type { Run } from './api.ts';

/** What probes found. */
export type Probed = Pick<Run, 'sites' | 'attention'>;

/** What a run without probes says of its sites. */
export const NOT_PROBED: Probed = { sites: [], attention: null };

/** The parts of `space` to read back, and what their bytes, one after the other from `start`, say of T tokens. */
export function probedIn(
  space: Workspace,
  checkpoint: Checkpoint,
  plan: Plan,
  T: number,
): {
  readonly parts: readonly { readonly buffer: GpuBuffer; readonly sizeBytes: number }[];
  readonly report: (bytes: ArrayBuffer, start: number) => Probed;
} {
  const { isCausal, dims } = checkpoint.model;
  const { L, H } = dims;
  const { rows } = space;
  const sites = sitesOf(checkpoint);
  const sizes = {
    token_stats: statsBytes(sites.length, rows),
    counts: countsBytes(sites.length),
    entropy: entropyBytes(L, H, rows),
  } as const;
  const names = ['token_stats', 'counts', 'entropy'] as const;
  return {
    parts: names.map((name) => ({ buffer: space.probes(name, sizes[name]), sizeBytes: sizes[name] })),
    report: (bytes, start) => {
      const counts = start + sizes.token_stats;
      const entropy = counts + sizes.counts;
      const stats = unpackStats(
        new Float32Array(bytes, start, sizes.token_stats / 4),
        new Uint32Array(bytes, counts, sizes.counts / 4),
        sites.length,
        rows,
        T,
      );
      return {
        sites: sites.flatMap((site, index) => {
          const at = stats[index];
          return at ? [reportSite(at, site, checkpoint, plan)] : [];
        }),
        attention: {
          isCausal,
          entropy: unpackEntropy(new Float32Array(bytes, entropy, sizes.entropy / 4), L, H, rows, T),
        },
      };
    },
  };
}
