// What a program is made of, and how it is asked for.
import type { DrawForm } from '../kernel/sample.ts';
import type { Product } from '../kernel/tune.ts';
import type { Fusion } from './fusion.ts';

export const OP_KINDS = ['embed', 'norm', 'matmul', 'attention', 'gate', 'probe', 'sample'] as const;
export type OpKind = (typeof OP_KINDS)[number];

type Workgroups = readonly [number, number?, number?];

/** One dispatch. Counts of bytes and FLOPs are the least an implementation must move and do for T tokens. */
export type Op = {
  readonly label: string;
  readonly kind: OpKind;
  readonly site: string | null;
  readonly block: number | null;
  readonly workgroups: (T: number, past: number) => Workgroups;
  readonly bytes: (T: number, past: number) => number;
  readonly flops: (T: number, past: number) => number;
  /** What a matmul computes, for the tuner. */
  readonly product?: Product | undefined;
};

/** `prefill` runs any number of tokens from an empty or filled cache; `decode` is tuned for one. */
export type Mode = {
  readonly kind: 'prefill' | 'decode';
  readonly hasProbes: boolean;
  /** Without probes; `defaultFusion` where it is not given. */
  readonly fusion?: Fusion;
  /** The next token is drawn too, into the token buffer, where the next forward finds it. */
  readonly draw?: DrawForm;
};
