// Plans on text that no fit has seen: loss, distance to the original, agreement on the likeliest token.
import { sha256 } from '../format/fetch.ts';
import type { Plan } from '../model/plan.ts';
import { lossPerToken } from '../model/sample.ts';
import { logitsOf, programOf } from './lab.ts';
import type { Lab, Model } from './lab.ts';
import type { MeasuredPlan, Window } from './spec.ts';

/** KL divergence in nats from p to q, of logits [V] each, and whether both have the same largest one. */
export function divergence(p: Float32Array, q: Float32Array): { kl: number; isAgreed: boolean } {
  let [topP, topQ] = [0, 0];
  for (let i = 1; i < p.length; i++) {
    if ((p[i] ?? 0) > (p[topP] ?? 0)) topP = i;
    if ((q[i] ?? 0) > (q[topQ] ?? 0)) topQ = i;
  }
  const [mostP, mostQ] = [p[topP] ?? 0, q[topQ] ?? 0];
  let [sumP, sumQ, apart] = [0, 0, 0];
  for (let i = 0; i < p.length; i++) {
    const [a, b] = [(p[i] ?? 0) - mostP, (q[i] ?? 0) - mostQ];
    const weight = Math.exp(a);
    sumP += weight;
    sumQ += Math.exp(b);
    apart += weight * (a - b);
  }
  return { kl: apart / sumP - Math.log(sumP) + Math.log(sumQ), isAgreed: topP === topQ };
}

/** Plans that are remembered: those of one table of sites, and the controls. */
const MOST_KEPT = 160;
const bytesOf = new TextEncoder();
const keyOf = (value: unknown): string => sha256(bytesOf.encode(JSON.stringify(value)));

/**
 * Every plan on all windows: of a window of n tokens the first n − 1 are run and the others predicted. KL and
 * agreement are to `original`, which is the first of the answers. What this device measured before is not measured
 * again: controls are the same for every fit. `onForward` is told how many there are.
 */
export async function measure(
  lab: Lab,
  model: Model,
  original: Plan,
  plans: readonly Plan[],
  windows: readonly Window[],
  onForward: (of: number) => void,
): Promise<MeasuredPlan[]> {
  const { measured } = lab;
  const text = keyOf(windows);
  const keyed = [original, ...plans].map((plan) => ({ plan, key: keyOf([model.sha256, plan.sites, text]) }));
  const known = new Map(
    keyed.flatMap(({ key }) => {
      const kept = measured.get(key);
      return kept ? [[key, kept] as const] : [];
    }),
  );
  const missing = [...new Map(keyed.map((one) => [one.key, one])).values()].filter(
    ({ key }) => !known.has(key),
  );
  // The others' distance is to the original's logits, which are not kept.
  const [first] = keyed;
  const run = missing.length && first && missing[0]?.key !== first.key ? [first, ...missing] : missing;
  const found = await measureAll(
    lab,
    model,
    run.map(({ plan }) => plan),
    windows,
    () => onForward(run.length * windows.length),
  );
  run.forEach(({ key }, i) => {
    const one = found[i];
    if (one) known.set(key, one);
  });
  // What was asked for last is forgotten last.
  for (const [key, one] of known) {
    measured.delete(key);
    measured.set(key, one);
  }
  for (const key of [...measured.keys()].slice(0, Math.max(0, measured.size - MOST_KEPT)))
    measured.delete(key);
  return keyed.flatMap(({ key }) => known.get(key) ?? []);
}

/** The same of plans that are all run; the first one is the original. */
async function measureAll(
  lab: Lab,
  model: Model,
  plans: readonly Plan[],
  windows: readonly Window[],
  onForward: () => void,
): Promise<MeasuredPlan[]> {
  const { V } = model.checkpoint.model.dims;
  const sums = plans.map(() => ({ loss: 0, kl: 0, agreed: 0, perToken: [] as Float64Array[] }));
  const programs = await Promise.all(plans.map((plan) => programOf(lab, model, plan)));
  let count = 0;
  try {
    for (const passage of windows) {
      const tokens = passage.slice(0, -1);
      count += tokens.length;
      let wanted = new Float32Array();
      for (const [i, program] of programs.entries()) {
        onForward();
        const logits = await logitsOf(lab, model, program, tokens);
        if (i === 0) wanted = logits;
        const sum = sums[i];
        if (!sum) continue;
        const losses = lossPerToken(logits, passage, V);
        sum.perToken.push(losses);
        sum.loss += losses.reduce((total, loss) => total + loss, 0);
        for (let t = 0; t < tokens.length; t++) {
          const [p, q] = [wanted, logits].map((of) => of.subarray(t * V, (t + 1) * V));
          const { kl, isAgreed } = divergence(p ?? wanted, q ?? logits);
          sum.kl += kl;
          sum.agreed += Number(isAgreed);
        }
      }
    }
  } finally {
    for (const program of programs) program[Symbol.dispose]();
  }
  return sums.map(({ loss, kl, agreed, perToken }) => ({
    loss: loss / count,
    kl: kl / count,
    top1: agreed / count,
    perToken,
  }));
}
