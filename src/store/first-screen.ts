// The first screen: until there is a result, figures show a run of the same configuration out of a file.
import { FIRST_PROMPT } from '../model/catalog.ts';
import { MAIN_NORM_IDS } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { readReceipt } from '../receipt/read.ts';
import { recordingName } from '../receipt/recorded.ts';
import { recordedPin } from './recorded.ts';
import { planOf, samePlan, setRun } from './store.ts';
import type { Config, Experiment, PinnedRun } from './store.ts';

/** The norm whose recording may be what is asked for; null where there is none. */
function recordedNorm({ weights, norm, base, swaps, prompt }: Config): NormId | null {
  const asked = weights === 'twin' ? norm : (Object.values(swaps)[0] ?? base);
  return prompt === FIRST_PROMPT && MAIN_NORM_IDS.includes(asked) ? asked : null;
}

/** Whether a run is what is asked for: the same weights, norms, α and prompt. */
function isOf({ run, prompt }: PinnedRun, config: Config): boolean {
  const sites = run.sites.map(({ site }) => site);
  return prompt === config.prompt && samePlan(run.plan, planOf(config, sites));
}

/** The text of a file, whether its server has unpacked it on the way or not. */
async function unpacked(response: Response): Promise<string> {
  const bytes = await response.arrayBuffer();
  const [first, second] = new Uint8Array(bytes);
  const { body } = new Response(bytes);
  return first === 0x1f && second === 0x8b && body
    ? new Response(body.pipeThrough(new DecompressionStream('gzip'))).text()
    : new TextDecoder().decode(bytes);
}

/**
 * Shows recordings of `folder` as long as there is no result and as far as they are of what the config asks for. They
 * are a courtesy: one that cannot be had is not shown, and the run that is under way says what is wrong. Resolves when
 * the first has been looked for.
 */
export function showRecordings(
  store: Experiment,
  folder: string,
  get: (url: string) => Promise<Response> = (url) => fetch(url),
): Promise<void> {
  async function look(): Promise<void> {
    const { config, run } = store.getState();
    if (run.recorded && isOf(run.recorded, config)) return;
    if (run.recorded) setRun(store, { recorded: null });
    const norm = recordedNorm(config);
    if (norm === null) return;
    try {
      const url = new URL(`${config.model}/${recordingName(norm)}`, folder).href;
      const response = await get(url);
      if (!response.ok) return;
      const read = readReceipt(await unpacked(response), url);
      const recorded = read.kind === 'run' ? recordedPin(read.receipt) : null;
      const now = store.getState();
      if (recorded && now.run.result === null && isOf(recorded, now.config))
        setRun(store, { recorded, promptTokens: recorded.run.tokens });
    } catch {
      // As if there were none.
    }
  }
  const stop = store.subscribe(({ config, run }, before) => {
    if (run.result) stop();
    else if (config !== before.config) void look();
  });
  return look();
}
