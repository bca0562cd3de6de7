// A person's own WGSL of a member on a device: what the compiler says of every kernel it is in, and how it answers.
import { ownParity, ownTiming } from '../bench/own.ts';
import type { OwnTiming } from '../bench/own.ts';
import { normalValues, normParams, packedParams } from '../bench/norm-data.ts';
import type { Bench } from '../bench/roofline.ts';
import type { Shape } from '../bench/spec.ts';
import { ShaderProblem } from '../kernel/compile.ts';
import type { Complaint } from '../kernel/compile.ts';
import { Batcher, dispatchOf } from '../kernel/batch.ts';
import type { Dispatch } from '../kernel/batch.ts';
import { endlessLoop, mistakesOf, trialKernel } from '../kernel/own.ts';
import type { OwnNorm } from '../kernel/own.ts';
import type { Mode, Program } from '../model/program.ts';
import type { Environment, NormCheck } from './api.ts';
import type { Session } from './device-session.ts';
import { patiently } from './patience.ts';

/** Kernels of a few rows, or a batch of them, that took this long will not end. */
const PATIENCE_MS = 10_000;

/** Rows and channels that a text's loops are counted on. */
const TRIAL = { T: 3, C: 64 } as const;

/** Throws ShaderProblem where a text is no member, or where a loop of it does not end; each text is tried once. */
export function tryOut(session: Session, own: OwnNorm): Promise<void> {
  const key = JSON.stringify(own);
  const tried = session.tried.get(key) ?? trial(session, own);
  session.tried.set(key, tried);
  return tried;
}

async function trial({ gpu, compiler }: Session, own: OwnNorm): Promise<void> {
  const refuse = (complaints: readonly Complaint[]): void => {
    const [first] = complaints;
    if (first)
      throw new ShaderProblem(
        `your own ${first.file}:${first.line}:${first.column}`,
        first.message,
        complaints,
      );
  };
  refuse(mistakesOf(own));
  const { T, C } = TRIAL;
  const planned = trialKernel(own, C);
  if (!planned) return;
  using x = gpu.upload('x', 'activations', normalValues(T * C, 1));
  using y = gpu.buffer('y', 'activations', 4 * T * C);
  using endless = gpu.buffer('endless', 'activations', 4);
  using theta = gpu.upload(
    'theta',
    'parameters',
    packedParams(own.norm, C, normParams(own.norm, C, 'checking')),
  );
  using run = gpu.uniform('run', Uint32Array.of(T, 0));
  const buffers = { x, y, endless, theta, run };
  let dispatch: Dispatch;
  try {
    dispatch = await dispatchOf(compiler, planned.spec, buffers, planned.workgroups(T));
  } catch (thrown) {
    // The compiler says it again of the text as it is; a loop with a barrier in it cannot be left, and is not tried.
    if (thrown instanceof ShaderProblem) return;
    throw thrown;
  }
  await patiently(gpu, own, new Batcher(gpu, null).run([[dispatch]], 1), PATIENCE_MS);
  const [loop = 0] = new Uint32Array(await gpu.read([{ buffer: endless, sizeBytes: 4 }]));
  if (loop > 0) refuse([endlessLoop(own, loop)]);
}

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
export async function timeOn(
  session: Session,
  environment: Environment,
  own: OwnNorm,
  shape: Shape,
  options: Options,
): Promise<OwnTiming> {
  await tryOut(session, own);
  return ownTiming(benchOf(session, environment), own, shape, { ...options, settle: settling(session, own) });
}

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
  await collect(() => tryOut(session, own));
  for (const mode of complaints.length ? [] : MODES)
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
