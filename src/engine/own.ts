// A person's own WGSL of a member on a device: what the compiler says of every kernel it is in, and how it answers.
import { ownParity, ownTiming } from '../bench/own.ts';
import type { OwnTiming } from '../bench/own.ts';
import type { Bench } from '../bench/roofline.ts';
import type { Shape } from '../bench/spec.ts';
import { ShaderProblem } from '../kernel/compile.ts';
import type { Complaint } from '../kernel/compile.ts';
import { mistakesOf } from '../kernel/own.ts';
import type { OwnNorm } from '../kernel/own.ts';
import type { Mode, Program } from '../model/program.ts';
import type { Environment, NormCheck } from './api.ts';
import type { Session } from './device-session.ts';
import { patiently } from './patience.ts';

/** Kernels of a few rows, or a batch of them, that took this long will not end. */
const PATIENCE_MS = 10_000;

/** What the bench needs of a device session. */
const benchOf = ({ gpu, compiler, passClock: clock }: Session, { timer }: Environment): Bench => ({
  gpu,
  compiler,
  clock,
  quantumNs: timer.quantumNs,
  wallStepMs: timer.wallStepMs,
});

type Options = Omit<Parameters<typeof ownParity>[2], 'settle'>;

const settling =
  ({ gpu }: Session, own: OwnNorm) =>
  <T>(work: Promise<T>): Promise<T> =>
    patiently(gpu, own, work, PATIENCE_MS);

/** By turns with the member's own text. */
export const timeOn = (
  session: Session,
  environment: Environment,
  own: OwnNorm,
  shape: Shape,
  options: Options,
): Promise<OwnTiming> =>
  ownTiming(benchOf(session, environment), own, shape, { ...options, settle: settling(session, own) });

/** Every mode that a run on the page builds. */
const MODES: readonly Mode[] = [
  { kind: 'prefill', hasProbes: true },
  { kind: 'prefill', hasProbes: false },
  { kind: 'decode', hasProbes: false },
];

/** Complaints about every program of the run and the kernels of the comparison; the comparison where there are none. */
export async function checkOn(
  session: Session,
  environment: Environment,
  own: OwnNorm,
  programOf: (mode: Mode) => Promise<Program>,
  options: Options,
): Promise<NormCheck> {
  const mistakes = mistakesOf(own);
  if (mistakes.length > 0) return { complaints: mistakes, parity: null };
  const complaints: Complaint[] = [];
  const collect = async <T>(work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work();
    } catch (thrown) {
      if (!(thrown instanceof ShaderProblem) || thrown.complaints.length === 0) throw thrown;
      complaints.push(...thrown.complaints);
      return null;
    }
  };
  for (const mode of MODES)
    await collect(async () => {
      using program = await programOf(mode);
      return program.mode;
    });
  const bench = benchOf(session, environment);
  const parity = complaints.length
    ? null
    : await collect(() => ownParity(bench, own, { ...options, settle: settling(session, own) }));
  return { complaints: distinct(complaints), parity };
}

/** The same complaint comes from every kernel that the text is in. */
const distinct = (complaints: readonly Complaint[]): Complaint[] => [
  ...new Map(complaints.map((one) => [JSON.stringify(one), one])).values(),
];
