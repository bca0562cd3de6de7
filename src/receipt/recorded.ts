// A run out of its file: as it was, but for the logits, which files do not hold.
import type { Run, SiteReport } from '../engine/api.ts';
import { NO_MEMORY } from '../gpu/device.ts';
import { TOKEN_FIELDS } from '../kernel/probe.ts';
import type { SiteStats } from '../kernel/probe.ts';
import type { Plan } from '../model/plan.ts';
import type { NormId } from '../norm/registry.ts';
import type { RunReceipt } from './schema.ts';

/** The file of a norm's recording, in a folder with the name of its model. Compressed, as plain servers do not. */
export const recordingName = (norm: NormId): string => `${norm}.json.gz`;

const number = (value: number | null): number => value ?? Number.NaN;

/** The plan that a file says it ran; older files have no fitted values. */
export const recordedPlan = ({ configuration: { model, sites, own } }: RunReceipt): Plan => ({
  ...(own ? { own } : {}),
  weights: model.weights,
  sites: Object.fromEntries(
    Object.entries(sites).map(([id, { norm, source, alphaScale, values, first, eps }]) => [
      id,
      {
        norm,
        source,
        alphaScale,
        ...(values && { values }),
        ...(first && { first }),
        ...(eps === undefined ? {} : { eps }),
      },
    ]),
  ),
});

/** Sites that were fitted and whose values the file does not hold. */
export const sitesWithoutValues = (plan: Plan): string[] =>
  Object.entries(plan.sites).flatMap(([id, { source, values }]) =>
    source === 'fitted' && !values ? [id] : [],
  );

function siteOf(id: string, { configuration, result }: RunReceipt): SiteReport[] {
  const [about, found] = [configuration.sites[id], result.sites[id]];
  if (!about || !found) return [];
  const tokens = Object.fromEntries(
    TOKEN_FIELDS.map((field) => [field, Float32Array.from(found.tokens[field], number)]),
  ) as SiteStats['tokens'];
  return [
    {
      site: { id, kind: about.kind, layer: about.layer },
      norm: about.norm,
      isOwn: configuration.own?.norm === about.norm,
      source: about.source,
      scalars: Object.fromEntries(
        Object.entries(about.scalars).map(([name, value]) => [name, number(value)]),
      ),
      isMeasured: about.statisticsFrom === 'prompt',
      tokens,
      drive: Uint32Array.from(found.drive.counts),
      curve: Uint32Array.from(found.curve.counts),
      curveRange: { x: number(found.curve.maxAbsInput), core: number(found.curve.maxAbsCore) },
    },
  ];
}

/** The run that a file holds; `logits` is empty. */
export function recordedRun(receipt: RunReceipt): Run {
  const { configuration, result, timings, memory } = receipt;
  const { instrumented } = timings;
  return {
    plan: recordedPlan(receipt),
    sha256: configuration.model.sha256,
    tokens: configuration.tokens,
    logits: new Float32Array(),
    top: result.next.map(({ id, text, logit, probability }) => ({
      id,
      text,
      logit: number(logit),
      probability: number(probability),
    })),
    topAt: configuration.tokens.length - 1,
    lossPerToken: result.lossPerTokenNats.map(number),
    isCausal: result.isCausal,
    sites: Object.keys(configuration.sites).flatMap((id) => siteOf(id, receipt)),
    attention: result.attention
      ? {
          isCausal: result.attention.isCausal,
          entropy: result.attention.entropyNats.map((heads) => Float32Array.from(heads.flat(), number)),
        }
      : null,
    timing: { tier: 'instrumented', wallMs: instrumented.wallMs },
    cold: { buildMs: instrumented.buildMs, compiledPipelines: instrumented.compiledPipelines },
    dispatches: instrumented.dispatches,
    readbackBytes: instrumented.readbackBytes,
    memory: {
      ...NO_MEMORY,
      currentBytes: memory.currentBytes,
      peakBytes: memory.peakBytes,
      peakBytesByPurpose: { ...NO_MEMORY.peakBytesByPurpose, ...memory.peakBytesByPurpose },
    },
  };
}
