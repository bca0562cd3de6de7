// A whole fit: collect, solve site by site, perhaps fine-tune, and measure what it cost against its controls.
import type { ModelInfo } from '../model/catalog.ts';
import type { Plan, SitePlan } from '../model/plan.ts';
import { thetaScalars } from '../model/plan.ts';
import { sitesOf } from '../model/model.ts';
import { bends, normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { isAbort } from '../problem.ts';
import { collect } from './collect.ts';
import { fresh, frozen, frozenCentred, nativeTwin, tableOf } from './controls.ts';
import type { SiteDeltas } from './controls.ts';
import type { Activations, Which } from './collect.ts';
import { affineAt, thetaAt } from './lab.ts';
import type { Lab, Model } from './lab.ts';
import { measure } from './measure.ts';
import { metricOf, readersOf } from './readers.ts';
import { clip, leastSquares, moments, rSquared } from './solve.ts';
import type { SiteData } from './solve.ts';
import { checkSpec, fitted, originalPlan, withSites } from './plans.ts';
import type { Windows } from './plans.ts';
import { FIT_SCHEMA, isSwept, methodAt } from './spec.ts';
import type {
  FitOptions,
  FitProgress,
  FitReport,
  FitSpec,
  FitStage,
  MeasuredPlan,
  SiteFit,
  SiteMethod,
  Window,
} from './spec.ts';
import { Tape } from './tape.ts';
import { fineTune } from './tune.ts';

const bare = ({ loss, kl, top1 }: MeasuredPlan): Omit<MeasuredPlan, 'perToken'> => ({ loss, kl, top1 });

/** A fit under way. */
export class Fitting {
  readonly spec: FitSpec;
  readonly lab: Lab;
  readonly model: Model;
  readonly windows: Windows;
  readonly #options: FitOptions;
  readonly original: Plan;
  /** Sites to swap, one after another. */
  readonly order: readonly Swap[];
  plan: Plan;
  kappa: number | null = null;
  readonly r2 = new Map<string, number>();
  trace: number[] = [];
  sweep: { kappa: number; calibration: number; plan: Plan }[] = [];
  readonly seconds: Record<FitStage, number>;
  #done = 0;
  #original: Collected | undefined;

  constructor(spec: FitSpec, lab: Lab, model: Model, windows: Windows, options: FitOptions) {
    this.spec = spec;
    this.lab = lab;
    this.model = model;
    this.windows = windows;
    this.#options = options;
    this.seconds = { ...(spec.from?.seconds ?? { collect: 0, fit: 0, tune: 0, measure: 0 }) };
    const { norm } = model.checkpoint;
    const sites = sitesOf(model.checkpoint);
    this.original = originalPlan(spec.weights, norm, sites);
    const running = sites.map(({ id }) => id);
    this.order = (spec.order ?? running).flatMap((site): Swap[] => {
      const member = spec.sites[site];
      const index = running.indexOf(site);
      return member === undefined ? [] : [{ site, member, method: methodAt(spec, site), index }];
    });
    this.plan = this.original;
  }

  /** Tells of a step, and stops here if somebody wants that. */
  say(stage: FitStage, of: number, what: string, more: Partial<FitProgress> = {}): void {
    this.#options.signal?.throwIfAborted();
    this.#options.onStep?.({ stage, done: Math.min(++this.#done, of), of, what, ...more });
  }

  async timed<T>(stage: FitStage, work: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    this.#done = 0;
    try {
      return await work();
    } finally {
      this.seconds[stage] += (performance.now() - startMs) / 1000;
    }
  }

  /** How much an error counts at a site whose member has a gain to be searched. */
  async #metric(site: string, member: NormId): Promise<Pick<SiteData, 'metric'>> {
    const { checkpoint } = this.model;
    const metric =
      normSpec(member).gain && (await metricOf(checkpoint, readersOf(checkpoint.model).get(site) ?? []));
    return metric ? { metric } : {};
  }

  #data({ x, y }: Activations): SiteData {
    const {
      dims: { C },
      norm: { eps },
    } = this.model.checkpoint.model;
    const T = this.windows.calibration[0]?.length ?? 1;
    return { x, y, C, T, eps, hasFirst: this.spec.firstToken === 'own' };
  }

  /** What a site is given and answers as it was trained. */
  async dataOf(site: string): Promise<SiteData> {
    return this.#data((await this.collected()).get(site) ?? EMPTY);
  }

  #collect(plan: Plan, what: Which = {}): Promise<Collected> {
    const { calibration } = this.windows;
    const onForward = (): void => this.say('collect', calibration.length, what.site ?? 'all sites');
    return this.timed('collect', () => collect(this.lab, this.model, plan, calibration, onForward, what));
  }

  /** Of every site as it was trained; asked of the model once. */
  async collected(): Promise<Collected> {
    return (this.#original ??= await this.#collect(this.original));
  }

  measure = (plans: readonly Plan[], windows: readonly Window[], what: string): Promise<MeasuredPlan[]> =>
    this.timed('measure', () =>
      measure(this.lab, this.model, this.original, plans, windows, (of) => this.say('measure', of, what)),
    );

  /** Every site by its own method, one after another; `kappa` is for those that clip. */
  async solve(kappa: number): Promise<void> {
    this.plan = this.original;
    this.r2.clear();
    const originals = await this.collected();
    const swapped: number[] = [];
    let start: Start | undefined;
    const say = (site: string, r2?: number): void =>
      this.say('fit', this.order.length, site, { done: swapped.length, ...(r2 === undefined ? {} : { r2 }) });
    for (const { site, member, method, index } of this.order) {
      // A swap before the place a forward would start at changes what is given there.
      if (start && index < start.index) start = undefined;
      const isMoved = swapped.some((other) => other < index);
      swapped.push(index);
      const { from } = this.spec;
      const kept = from?.plan.sites[site];
      if (kept?.source === 'fitted' && kept.norm === member) {
        this.plan = withSites(this.plan, { [site]: kept });
        const known = from?.sites?.find((one) => one.site === site)?.r2;
        if (typeof known === 'number') this.r2.set(site, known);
        say(site);
        continue;
      }
      const { x: trained = EMPTY.x, y = EMPTY.y } = originals.get(site) ?? {};
      let x = trained;
      if (method === 'sequential') {
        const what = { site, isInputOnly: true, ...(start ? { start } : {}) };
        if (isMoved) x = (await this.#collect(this.plan, what)).get(site)?.x ?? trained;
        start = { site, index, x };
      }
      await this.timed('fit', async () => {
        const data = this.#data({ x, y });
        const { values, first, r2 } =
          method === 'moment' || method === 'clip'
            ? clip(member, data, affineAt(this.model, this.original, site), method === 'clip' ? kappa : 1)
            : leastSquares(member, { ...data, ...(await this.#metric(site, member)) });
        this.plan = withSites(this.plan, { [site]: fitted(member, values, first) });
        this.r2.set(site, r2);
        say(site, r2);
      });
    }
  }

  /** A fit for every clip level; the one that is best on the text that was fitted on is kept. */
  async #sweep(): Promise<void> {
    let best: { kappa: number; calibration: number; plan: Plan; r2: Map<string, number> } | undefined;
    try {
      for (const kappa of this.spec.kappas) {
        await this.solve(kappa);
        const { plan } = this;
        const [, { loss = Infinity } = {}] = await this.measure(
          [plan],
          this.windows.calibration,
          `κ = ${kappa}`,
        );
        this.sweep.push({ kappa, calibration: loss, plan });
        if (!best || loss < best.calibration) best = { kappa, calibration: loss, plan, r2: new Map(this.r2) };
      }
    } finally {
      // Also where it was stopped at a later one.
      if (best) {
        this.kappa = best.kappa;
        this.plan = best.plan;
        this.r2.clear();
        for (const [site, r2] of best.r2) this.r2.set(site, r2);
      }
    }
  }

  async fineTune(): Promise<void> {
    const { tune, from } = this.spec;
    this.r2.clear(); // of what moves on from here
    this.trace = [...(from?.trace ?? [])];
    await this.timed('tune', async () => {
      const onStep = (loss: number, plan: Plan): void => {
        this.trace.push(loss);
        this.plan = plan;
        this.say('tune', tune.steps, `step ${this.trace.length}`, { loss, done: this.trace.length });
      };
      const sites = this.order.map(({ site }) => site);
      const { calibration } = this.windows;
      const { lab, model, original, plan } = this;
      this.plan = await fineTune(
        lab,
        model,
        original,
        plan,
        sites,
        calibration,
        tune,
        this.trace.length,
        onStep,
      );
    });
    const [originals, now] = [await this.collected(), await this.#collect(this.plan, { isInputOnly: true })];
    for (const { site, member } of this.order) {
      const [{ x } = EMPTY, { y } = EMPTY] = [now.get(site), originals.get(site)];
      const { values = {}, first } = this.plan.sites[site] ?? {};
      this.r2.set(site, rSquared(member, this.#data({ x, y }), values, first));
    }
  }

  /** The chosen method; what it reached stands in `plan`, also when it is stopped. */
  async fit(): Promise<void> {
    const { spec } = this;
    const [kappa = 1] = spec.kappas;
    if (isSwept(spec)) await this.#sweep();
    else {
      if (this.order.some(({ method }) => method === 'clip')) this.kappa = kappa;
      await this.solve(kappa);
    }
    if (spec.method === 'fine-tune') await this.fineTune();
  }

  get isInRunningOrder(): boolean {
    return this.order.every(({ index }, i) => i === 0 || index > (this.order[i - 1]?.index ?? 0));
  }

  swappedTo(of: (site: string, member: NormId) => SitePlan): Plan {
    return withSites(
      this.original,
      Object.fromEntries(this.order.map(({ site, member }) => [site, of(site, member)])),
    );
  }

  #sigma(site: string): number | null {
    const found = this.#original?.get(site);
    const { dims, norm } = this.model.checkpoint.model;
    return found ? 1 / moments(found.x, dims.C, norm.eps).slope : null;
  }

  siteFits(table: SiteDeltas): SiteFit[] {
    const { C } = this.model.checkpoint.model.dims;
    const scalars = (site: string): Pick<SiteFit, 'scalars' | 'firstScalars'> => {
      if (this.plan.sites[site]?.source !== 'fitted') return { scalars: {} };
      const theta = thetaAt(this.model, this.plan, site);
      const own = theta.first && { firstScalars: thetaScalars({ ...theta, values: theta.first }, C) };
      return { scalars: thetaScalars(theta, C), ...own };
    };
    const { spec } = this;
    const inRunningOrder = this.order.toSorted((a, b) => a.index - b.index);
    return inRunningOrder.map(({ site, member: norm }) => ({
      site,
      norm,
      method: spec.methods?.[site] ?? spec.method,
      ...scalars(site),
      sigma: this.#sigma(site),
      r2: this.r2.get(site) ?? null,
      aloneDelta: table.get(site)?.alone ?? null,
      withoutDelta: table.get(site)?.without ?? null,
    }));
  }
}

type Collected = ReadonlyMap<string, Activations>;
/** A site whose input is known under the plan of now. */
type Start = { readonly site: string; readonly index: number; readonly x: Float32Array };
/** `index`: its place among all sites as they run. */
type Swap = {
  readonly site: string;
  readonly member: NormId;
  readonly method: SiteMethod;
  readonly index: number;
};
const EMPTY: Activations = { x: new Float32Array(), y: new Float32Array() };

/**
 * Fits `spec` and measures it on held-out text. A stop keeps what was fitted so far, unmeasured. Throws Problem `usage`
 * for what cannot be fitted, `unsupported` for models that cannot.
 */
export async function runFit(
  spec: FitSpec,
  windows: Windows,
  lab: Lab,
  info: ModelInfo,
  options: FitOptions = {},
): Promise<FitReport> {
  const model = await lab.model(spec.weights);

  checkSpec(spec, model.checkpoint, windows);
  const startedAt = new Date().toISOString();
  const work = new Fitting(spec, lab, model, windows, options);
  // A model whose backward is not written is refused before the minutes of the other stages.
  if (spec.method === 'fine-tune') (await Tape.build(lab, model, work.original, 2))[Symbol.dispose]();
  const { heldOut } = windows;
  const members = [...new Set(Object.values(spec.sites))];
  let isStopped = false;
  let measured: FitReport['measured'] = null;
  let original: number | null = null;
  let sweep: FitReport['sweep'] = [];
  let lossMap: number[][] = [];
  let table: SiteDeltas = new Map();
  try {
    await work.fit();
    const raw = work.swappedTo((_, member) => ({ norm: member, source: 'raw', alphaScale: 1 }));
    const hasFresh = members.every(bends);
    const centred = await frozenCentred(work);
    const plans = [
      work.plan,
      raw,
      await frozen(work),
      ...(hasFresh ? [fresh(work)] : []),
      ...(centred ? [centred] : []),
      ...work.sweep.map(({ plan }) => plan),
    ];
    const [base, own, ofRaw, ofFrozen, ...rest] = await work.measure(plans, heldOut, 'the whole model');
    if (!base || !own || !ofRaw || !ofFrozen) throw new RangeError('Cannot measure: nothing was answered');
    const ofFresh = hasFresh ? rest.shift() : undefined;
    const ofCentred = centred ? rest.shift() : undefined;
    original = base.loss;
    sweep = work.sweep.map(({ kappa, calibration }, i) => ({
      kappa,
      calibration,
      heldOut: rest[i]?.loss ?? Number.NaN,
    }));
    lossMap = own.perToken.map((row, w) =>
      Array.from(row, (loss, t) => loss - (base.perToken[w]?.[t] ?? Number.NaN)),
    );
    const native = await nativeTwin(work, info, members);
    measured = {
      raw: bare(ofRaw),
      fitted: bare(own),
      fresh: ofFresh ? bare(ofFresh) : null,
      frozen: bare(ofFrozen),
      ...(ofCentred ? { frozenCentred: bare(ofCentred) } : {}),
      native,
    };
    if (spec.tableWindows > 0) table = await tableOf(work, heldOut.slice(0, spec.tableWindows));
  } catch (thrown) {
    if (!isAbort(thrown)) throw thrown;
    isStopped = true;
  }
  return {
    schema: FIT_SCHEMA,
    startedAt,
    adapter: lab.gpu.adapter,
    weights: spec.weights,
    sha256: model.sha256,
    eps: model.checkpoint.model.norm.eps,
    method: spec.method,
    ...(work.isInRunningOrder ? {} : { order: work.order.map(({ site }) => site) }),
    ...(spec.method === 'fine-tune' ? { tune: spec.tune } : {}),
    ...(spec.firstToken ? { firstToken: spec.firstToken } : {}),
    kappa: work.kappa,
    isStopped,
    plan: work.plan,
    tokens: {
      calibration: windows.calibration.flat().length,
      heldOut: heldOut.reduce((sum, passage) => sum + passage.length - 1, 0),
    },
    heldOutLoss: { original, raw: measured?.raw.loss ?? null, fitted: measured?.fitted.loss ?? null },
    measured,
    sweep,
    sites: work.siteFits(table),
    trace: work.trace,
    lossMap,
    seconds: work.seconds,
  };
}
