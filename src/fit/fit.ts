// A whole fit: collect, solve site by site, perhaps fine-tune, and measure what it cost against its controls.
import { firstTwin } from '../model/catalog.ts';
import type { ModelInfo } from '../model/catalog.ts';
import type { Plan, SitePlan } from '../model/plan.ts';
import { thetaScalars } from '../model/plan.ts';
import { sitesOf } from '../model/model.ts';
import { bends } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { isAbort } from '../problem.ts';
import { collect } from './collect.ts';
import { fresh, frozen, frozenCentred, nativeTwin, tableOf } from './controls.ts';
import type { SiteDeltas } from './controls.ts';
import type { Activations } from './collect.ts';
import { affineAt, thetaAt } from './lab.ts';
import type { Lab, Model } from './lab.ts';
import { measure } from './measure.ts';
import type { MeasuredPlan } from './measure.ts';
import { clip, leastSquares, moments } from './solve.ts';
import type { SiteData, Solution } from './solve.ts';
import { checkSpec, fitted, originalPlan, withSites } from './plans.ts';
import type { Windows } from './plans.ts';
import { FIT_SCHEMA } from './spec.ts';
import type { FitOptions, FitProgress, FitReport, FitSpec, FitStage, SiteFit, Window } from './spec.ts';
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
  /** Sites to swap, in running order. */
  readonly order: readonly (readonly [string, NormId])[];
  plan: Plan;
  kappa: number | null = null;
  readonly r2 = new Map<string, number>();
  trace: number[] = [];
  sweep: { kappa: number; calibration: number; plan: Plan }[] = [];
  readonly seconds = { collect: 0, fit: 0, tune: 0, measure: 0 };
  #done = 0;
  #original: Collected | undefined;

  constructor(spec: FitSpec, lab: Lab, model: Model, windows: Windows, options: FitOptions) {
    this.spec = spec;
    this.lab = lab;
    this.model = model;
    this.windows = windows;
    this.#options = options;
    const { norm } = model.checkpoint;
    const sites = sitesOf(model.checkpoint);
    this.original = originalPlan(spec.weights, norm, sites);
    this.order = sites.flatMap(({ id }) => {
      const member = spec.sites[id];
      return member === undefined ? [] : [[id, member] as const];
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

  /** What stands at each site of the order under a solver, on the original's activations. */
  #swapped(
    data: ReadonlyMap<string, Activations>,
    solve: (id: NormId, data: SiteData, site: string) => Solution,
  ) {
    const sites: Record<string, SitePlan> = {};
    for (const [site, member] of this.order) {
      const activations = data.get(site);
      if (!activations) continue;
      const { values, first, r2 } = solve(member, this.#data(activations), site);
      sites[site] = fitted(member, values, first);
      this.r2.set(site, r2);
      this.say('fit', this.order.length, site, { r2, done: this.r2.size });
    }
    return withSites(this.original, sites);
  }

  #collect(plan: Plan, site?: string, start?: { site: string; x: Float32Array }): Promise<Collected> {
    const { calibration } = this.windows;
    const onForward = (): void => this.say('collect', calibration.length, site ?? 'all sites');
    return this.timed('collect', () =>
      collect(this.lab, this.model, plan, calibration, onForward, site, start),
    );
  }

  /** Of every site as it was trained; asked of the model once. */
  async collected(): Promise<Collected> {
    return (this.#original ??= await this.#collect(this.original));
  }

  measure = (plans: readonly Plan[], windows: readonly Window[], what: string): Promise<MeasuredPlan[]> =>
    this.timed('measure', () =>
      measure(this.lab, this.model, this.original, plans, windows, () =>
        this.say('measure', (plans.length + 1) * windows.length, what),
      ),
    );

  async clip(kappas: readonly number[]): Promise<void> {
    const data = await this.collected();
    for (const kappa of kappas) {
      const plan = await this.timed('fit', async () =>
        this.#swapped(data, (id, at, site) => clip(id, at, affineAt(this.model, this.original, site), kappa)),
      );
      if (kappas.length === 1) {
        this.plan = plan;
        return;
      }
      const [, { loss = Infinity } = {}] = await this.measure(
        [plan],
        this.windows.calibration,
        `κ = ${kappa}`,
      );
      this.sweep.push({ kappa, calibration: loss, plan });
      const best = this.sweep.reduce((least, one) => (one.calibration < least.calibration ? one : least));
      this.kappa = best.kappa;
      this.plan = best.plan;
    }
    // What was solved last is not what is kept.
    for (const [site, member] of this.order)
      this.r2.set(
        site,
        clip(
          member,
          this.#data(data.get(site) ?? EMPTY),
          affineAt(this.model, this.original, site),
          this.kappa ?? 1,
        ).r2,
      );
  }

  async leastSquares(): Promise<void> {
    const data = await this.collected();
    this.plan = await this.timed('fit', async () => this.#swapped(data, leastSquares));
  }

  async sequential(): Promise<void> {
    this.plan = this.original;
    const wanted = await this.collected();
    const { from } = this.spec;
    let start: { site: string; x: Float32Array } | undefined;
    for (const [site, member] of this.order) {
      const kept = from?.sites[site];
      if (kept?.source === 'fitted' && kept.norm === member) {
        this.plan = withSites(this.plan, { [site]: kept });
        continue;
      }
      // The first site of all is given what it was: nothing before it has changed.
      const x =
        this.plan === this.original
          ? wanted.get(site)?.x
          : (await this.#collect(this.plan, site, start)).get(site)?.x;
      const y = wanted.get(site)?.y;
      if (!x || !y) continue;
      start = { site, x };
      await this.timed('fit', async () => {
        const { values, first, r2 } = leastSquares(member, this.#data({ x, y }));
        this.plan = withSites(this.plan, { [site]: fitted(member, values, first) });
        this.r2.set(site, r2);
        this.say('fit', this.order.length, site, { r2, done: this.r2.size });
      });
    }
  }

  async fineTune(): Promise<void> {
    await this.sequential();
    this.r2.clear(); // of what moves on from here
    await this.timed('tune', async () => {
      const { steps } = this.spec.tune;
      const sites = this.order.map(([site]) => site);
      const onStep = (loss: number, plan: Plan): void => {
        this.trace.push(loss);
        this.plan = plan;
        this.say('tune', steps, `step ${this.trace.length}`, { loss });
      };
      const { calibration } = this.windows;
      this.plan = await fineTune(
        this.lab,
        this.model,
        this.original,
        this.plan,
        sites,
        calibration,
        this.spec.tune,
        onStep,
      );
    });
  }

  /** The chosen method; what it reached stands in `plan`, also when it is stopped. */
  async fit(): Promise<void> {
    switch (this.spec.method) {
      case 'moment':
        return this.clip([1]);
      case 'clip':
        return this.clip(this.spec.kappas);
      case 'least-squares':
        return this.leastSquares();
      case 'sequential':
        return this.sequential();
      case 'fine-tune':
        return this.fineTune();
    }
  }

  swappedTo(of: (site: string, member: NormId) => SitePlan): Plan {
    return withSites(
      this.original,
      Object.fromEntries(this.order.map(([site, member]) => [site, of(site, member)])),
    );
  }

  #sigma(site: string): number | null {
    const found = this.#original?.get(site);
    return found ? moments(found.x, this.model.checkpoint.model.dims.C).sigma : null;
  }

  siteFits(table: SiteDeltas): SiteFit[] {
    const { C } = this.model.checkpoint.model.dims;
    const scalars = (site: string): Pick<SiteFit, 'scalars' | 'firstScalars'> => {
      if (this.plan.sites[site]?.source !== 'fitted') return { scalars: {} };
      const theta = thetaAt(this.model, this.plan, site);
      const own = theta.first && { firstScalars: thetaScalars({ ...theta, values: theta.first }, C) };
      return { scalars: thetaScalars(theta, C), ...own };
    };
    return this.order.map(([site, norm]) => ({
      site,
      norm,
      method: this.spec.method,
      ...scalars(site),
      sigma: this.#sigma(site),
      r2: this.r2.get(site) ?? null,
      aloneDelta: table.get(site)?.alone ?? null,
      withoutDelta: table.get(site)?.without ?? null,
    }));
  }
}

type Collected = ReadonlyMap<string, Activations>;
const EMPTY: Activations = { x: new Float32Array(), y: new Float32Array() };

/**
 * Fits `spec` and measures it on held-out text. A stop keeps what was fitted so far, unmeasured. Throws Problem `usage`
 * for what cannot be fitted.
 */
export async function runFit(
  spec: FitSpec,
  windows: Windows,
  lab: Lab,
  info: ModelInfo,
  options: FitOptions = {},
): Promise<FitReport> {
  const model = await lab.model(spec.weights);
  const { norm, context, vocabSize } = model.checkpoint;
  checkSpec(spec, sitesOf(model.checkpoint), windows, vocabSize, context);
  const startedAt = new Date().toISOString();
  const work = new Fitting(spec, lab, model, windows, options);
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
    sha256: info.twins[norm]?.weights.sha256 ?? info.twins[firstTwin(info)]?.weights.sha256 ?? '',
    method: spec.method,
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
