// The story in seven steps, told with the numbers of this very machine: why normalize, what it costs, what DyT does
// instead, what α does to it, where the layers go, whether it still speaks, and what it saves.
import { driver } from 'driver.js';
import type { Driver, DriveStep } from 'driver.js';
import 'driver.js/dist/driver.css';
import { normSpec, STORY_NORM } from '../norm/registry.ts';
import { DEFAULT_CONFIG, setConfig, setView } from '../store/store.ts';
import type { Config, Experiment, State } from '../store/store.ts';
import { number, percent, sitePhrase } from './format.ts';
import { average } from './statistics.ts';
import { kindShares } from './timing.ts';
import './tour.css';

const TURNED_UP = 4;
const PATIENCE_MS = 60_000;

/** Resolves once `isSo` holds; gives up quietly, for a tour must not hang. */
function until(store: Experiment, isSo: (state: State) => boolean): Promise<void> {
  if (isSo(store.getState())) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(done, PATIENCE_MS);
    const stop = store.subscribe((state) => isSo(state) && done());
    function done(): void {
      clearTimeout(timer);
      stop();
      resolve();
    }
  });
}

const isRun = ({ run, config }: State): boolean =>
  run.phase === 'idle' &&
  run.result !== null &&
  Object.values(run.result.plan.sites).every(
    ({ norm, alphaScale }) =>
      config.weights !== 'twin' ||
      (norm === config.norm && (!normSpec(norm).gain || alphaScale === config.alpha)),
  );

/** Changes the config and waits for the run that follows. */
async function ask(store: Experiment, patch: Partial<Config>): Promise<void> {
  setConfig(store, patch);
  await until(store, isRun);
}

/** Share of values beyond two, over all sites. */
const beyondTwo = ({ run }: State): number =>
  average((run.result?.sites ?? []).map(({ tokens }) => average(tokens.over2)));
const lossOf = ({ run }: State): string => `${number(average(run.result?.lossPerToken ?? []))} nats`;

function whyNormalize({ run }: State): string {
  const site = run.result?.sites.at(-2);
  const spreads = Array.from(site?.tokens.std ?? []);
  const [token] = run.result?.tokens ?? [];
  return `A chip is a token, its number the spread σ of its channels as they enter ${
    site ? sitePhrase(site.site) : 'a norm layer'
  }. Here they run from ${number(Math.min(...spreads))} to ${number(Math.max(...spreads))}: the next layer would see some words loud and others faint. “${
    token?.text ?? ''
  }” comes in with mean ${number(site?.tokens.mean[0] ?? Number.NaN)} and σ ${number(spreads[0] ?? Number.NaN)}; LayerNorm takes off the one and divides by the other, for every token anew.`;
}

function whatItCosts({ run }: State): string {
  const { timings, environment } = run;
  const share =
    timings && environment
      ? kindShares(timings, environment)?.find(({ kind }) => kind === 'norm')?.share
      : undefined;
  const cost =
    share === undefined
      ? 'This clock is too coarse to share this forward out.'
      : `On this machine all norms together take ${percent(share)} of the operations’ time.`;
  return `Mean and σ need every channel of a token before the first value can be written. ${cost} Matmuls take most of the rest.`;
}

function whatDytDoes({ run }: State): string {
  const site = run.result?.sites.at(-2);
  return `DyT looks at one value alone: multiply by a learnt α, take tanh, then γ and β as before. The curve is that function, the dots are the values of your sentence. ${
    site ? `Here, ${sitePhrase(site.site)}, α = ${number(site.scalars['alpha'] ?? Number.NaN)}.` : ''
  } Where LayerNorm divides loud tokens down, tanh presses their extremes flat: the tinted ends.`;
}

function whereLayersGo({ run }: State): string {
  const sites = run.result?.sites ?? [];
  const ranked = sites.toSorted((a, b) => average(b.tokens.over2) - average(a.tokens.over2));
  const [most, least] = [ranked[0], ranked.at(-1)];
  if (!most || !least) return '';
  return `Not every layer bends. ${percent(average(most.tokens.over2))} of the values lie beyond |αx| = 2 ${sitePhrase(
    most.site,
  )}, and ${percent(average(least.tokens.over2))} ${sitePhrase(least.site)}. Hover a site to see its curve; a click keeps it.`;
}

const savesHere = ({ bench }: State): string => {
  const report = bench.kept.find(({ origin }) => origin === 'here')?.report;
  const found = report?.comparisons.find(({ verdict }) => verdict !== 'not resolved');
  return found
    ? `Your last bench says of ${found.a} against ${found.b}: ${found.verdict} (${number(found.ratio)} × the time). Measure a whole model next.`
    : 'Whether that is faster is what people argue about. The bench measures it here: tuned kernels, equal bytes, rounds in random order, and an interval that says when there is no difference.';
};

type Step = {
  readonly element: string;
  readonly title: string;
  readonly text: (state: State) => string;
  readonly prepare?: (store: Experiment) => Promise<void>;
  readonly isQuestion?: boolean;
};

const STEPS: readonly Step[] = [
  {
    element: '[aria-label="Tokens"]',
    title: 'Why normalize?',
    text: whyNormalize,
    prepare: async (store) => {
      setView(store, { section: 'microscope', statistic: 'std', token: null, site: null });
      const { weights, norm, alpha, scope, swaps } = DEFAULT_CONFIG;
      await ask(store, { weights, norm, alpha, scope, swaps });
    },
  },
  { element: '[aria-label="Timings"]', title: 'What LayerNorm costs', text: whatItCosts },
  {
    element: '[aria-label="Saturation"]',
    title: 'What DyT does instead',
    text: whatDytDoes,
    prepare: (store) => ask(store, { norm: STORY_NORM, alpha: 1 }),
  },
  {
    element: '.alpha',
    title: 'The α knob: what do you think?',
    text: (state) =>
      `Now ${percent(beyondTwo(state))} of all values lie beyond |αx| = 2. Turn α up ${TURNED_UP} times: the share …`,
    isQuestion: true,
  },
  {
    element: '[aria-label="Depth"]',
    title: 'Where the layers go',
    text: whereLayersGo,
    prepare: (store) => ask(store, { alpha: 1 }),
  },
  {
    element: '[aria-label="Next token"]',
    title: 'Does it still speak?',
    text: (state) =>
      `These are this twin’s guesses; its loss on your prompt is ${lossOf(state)}. Switch twins and watch both. “Pin as A” puts a run aside and lays the next one beside it.`,
  },
  { element: '[aria-label="Section"]', title: 'What it saves on this machine', text: savesHere },
];

const ANSWERS = ['falls', 'stays', 'grows'] as const;
/** Changes of the share under this are none. */
const SAME = 0.005;

/** Three buttons under the question; the answer is run, not known. */
function question(store: Experiment, description: HTMLElement, onAnswer: () => void): void {
  const row = document.createElement('div');
  row.className = 'tour-answers';
  for (const guess of ANSWERS) {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = guess;
    button.addEventListener('click', () => {
      const before = store.getState();
      row.replaceChildren('running it …');
      void ask(store, { alpha: TURNED_UP }).then(() => {
        const after = store.getState();
        const change = beyondTwo(after) - beyondTwo(before);
        const truth = Math.abs(change) < SAME ? 'stays' : change > 0 ? 'grows' : 'falls';
        row.replaceChildren(
          `${guess === truth ? 'Right' : 'Not so'}: it ${truth}, from ${percent(beyondTwo(before))} to ${percent(
            beyondTwo(after),
          )}, and the loss goes from ${lossOf(before)} to ${lossOf(after)}. Too small an α is a straight line that presses nothing; too large a one is a step that forgets sizes.`,
        );
        onAnswer();
        return undefined;
      });
    });
    row.append(button);
  }
  description.append(row);
}

/** Starts the tour; texts are made when their step is shown, after what it needs has run. */
export function startTour(store: Experiment): Driver {
  const { config, view } = store.getState();
  const isStill = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const show = async (index: number, tour: Driver): Promise<void> => {
    await STEPS[index]?.prepare?.(store);
    if (tour.isActive() || index === 0) tour.drive(index);
  };
  const steps = STEPS.map(({ element, title, text, isQuestion }): DriveStep => ({
    element,
    popover: {
      title,
      onPopoverRender: ({ description }, { driver: shown }) => {
        description.textContent = text(store.getState());
        description.style.display = 'block';
        if (isQuestion) question(store, description, shown.refresh);
      },
      description: ' ',
    },
  }));
  const tour = driver({
    steps,
    animate: !isStill,
    smoothScroll: !isStill,
    showProgress: true,
    popoverClass: 'tour',
    nextBtnText: 'Next',
    prevBtnText: 'Back',
    doneBtnText: 'Done',
    onNextClick: (_element, _step, { index = 0 }) =>
      void (index + 1 < STEPS.length ? show(index + 1, tour) : tour.destroy()),
    onPrevClick: (_element, _step, { index = 0 }) => void show(Math.max(0, index - 1), tour),
    onDestroyed: () => {
      setConfig(store, { ...config });
      setView(store, { statistic: view.statistic });
    },
  });
  void show(0, tour);
  return tour;
}
