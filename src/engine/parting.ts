// Where two runs of the same tokens part: how alike their residual streams are, site by site and token by token.

import { sitesOf } from '../model/model.ts';
import type { Checkpoint } from '../model/model.ts';
import type { Plan } from '../model/plan.ts';
import type { RunInput } from './api.ts';
import { checkInput } from './answer.ts';
import type { Library } from './library.ts';

/** From here on two streams are told apart. */
export const ALIKE = 0.99;

export type Parting = {
  /** In running order. */
  readonly sites: readonly string[];
  /** Cosine of the two inputs of each site, by token. */
  readonly cosine: readonly (readonly number[])[];
  /** The first site, and at it the first token, where the cosine is under ALIKE. */
  readonly first: { readonly site: string; readonly token: number } | null;
};

/** Inputs of a site by its id: [T, C] each. */
export type StreamOf = (site: string) => Float32Array;

export function partingOf(sites: readonly string[], T: number, a: StreamOf, b: StreamOf): Parting {
  const cosine = sites.map((site) => {
    const [x, y] = [a(site), b(site)];
    const C = x.length / T;
    return Array.from({ length: T }, (_, t) =>
      x.length === y.length
        ? cosineOf(x.subarray(t * C, (t + 1) * C), y.subarray(t * C, (t + 1) * C))
        : Number.NaN,
    );
  });
  const at = cosine.findIndex((row) => row.some((value) => !(value >= ALIKE)));
  const site = sites[at];
  const token = cosine[at]?.findIndex((value) => !(value >= ALIKE)) ?? -1;
  return { sites, cosine, first: site === undefined ? null : { site, token } };
}

/** In float64; 1 for two vectors of zeros, NaN where something is not finite. */
function cosineOf(x: Float32Array, y: Float32Array): number {
  let [xy, xx, yy] = [0, 0, 0];
  for (let c = 0; c < x.length; c++) {
    const [p, q] = [x[c] ?? 0, y[c] ?? 0];
    xy += p * q;
    xx += p * p;
    yy += q * q;
  }
  return xx === 0 && yy === 0 ? 1 : xy / Math.sqrt(xx * yy);
}

type Captured = ReadonlyMap<string, { readonly in: Float32Array }>;

/** Two plans on the same tokens, each captured in a forward of its own. */
export async function partOn(
  library: Library,
  capture: (plan: Plan, checkpoint: Checkpoint, tokens: readonly number[]) => Promise<Captured>,
  [a, b]: readonly [Plan, Plan],
  tokens: readonly number[],
  input: RunInput = {},
): Promise<Parting> {
  const [one, other] = [await library.checkpoint(a.weights), await library.checkpoint(b.weights)];
  const given = checkInput(tokens, one, input);
  const [mine, theirs] = [await capture(a, one, given), await capture(b, other, given)];
  const stream =
    (captured: Captured): StreamOf =>
    (site) =>
      captured.get(site)?.in ?? new Float32Array();
  return partingOf(
    sitesOf(one).map(({ id }) => id),
    given.length,
    stream(mine),
    stream(theirs),
  );
}
