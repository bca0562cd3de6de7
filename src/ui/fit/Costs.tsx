import type { CSSProperties } from 'react';
import { scaleSymlog } from 'd3-scale';
import type { FitReport, Measured } from '../../fit/spec.ts';
import { normSpec } from '../../norm/registry.ts';
import { baseOf, isComparable } from '../../store/fit.ts';
import type { KeptFit } from '../../store/fit.ts';
import { normColor } from '../colors.ts';
import { useFigure } from '../controls/Figure.tsx';
import { number, percent } from '../format.ts';
import { useIsDark, useSize } from '../hooks.ts';
import { memberWords, membersOf, methodWords, nats, signed, subjectOfFit } from './words.ts';

const ROW = 28;
const AXIS = 22;
/** From here on the axis is logarithmic, nats per token. */
const STRAIGHT = 0.1;
const TICKS = [0, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50];

type Line = {
  readonly key: string;
  readonly name: string;
  readonly about: string;
  readonly loss: number;
  readonly rest: Omit<Measured, 'loss'> | null;
  readonly color: string;
  readonly as: 'original' | 'shown' | 'fit' | 'control';
};

/** What every form of the model costs over the original: held-out loss, KL, agreement. */
export function Costs({ shown, kept }: { readonly shown: KeptFit; readonly kept: readonly KeptFit[] }) {
  const isDark = useIsDark();
  const [frame, { width }] = useSize<HTMLDivElement>();
  const { report } = shown;
  const [figure, menu] = useFigure<HTMLElement>({
    name: 'costs',
    title: 'What the swap costs, held-out loss over the original',
    subject: subjectOfFit(report),
  });
  const { original } = report.heldOutLoss;
  if (!report.measured || original === null) return null;
  const colorOf = (of: FitReport): string => {
    const [member, ...others] = membersOf(of);
    return member && !others.length ? normColor(member, isDark) : 'var(--ink)';
  };
  const others = kept.filter(
    (one) => one.key !== shown.key && one.report.measured && isComparable(one.report, report),
  );
  const lines = [
    ...linesOf(shown, colorOf(report)),
    ...others.map((one) => fitLine(one, colorOf(one.report))),
  ];
  lines.push({
    key: 'original',
    name: `as trained, ${normSpec(baseOf(report)).label}`,
    about: 'The model with its own norms',
    loss: original,
    rest: null,
    color: normColor(baseOf(report), isDark),
    as: 'original',
  });
  const sorted = lines.toSorted((a, b) => a.loss - b.loss);
  const costs = sorted.map(({ loss }) => loss - original).filter(Number.isFinite);
  const x = scaleSymlog(
    [Math.min(0, ...costs), Math.max(0.02, ...costs)],
    [0, Math.max(0, width - 14)],
  ).constant(STRAIGHT);
  const [low = 0, high = 1] = x.domain();
  const ticks = spaced(
    TICKS.filter((tick) => tick <= high * 1.01),
    x,
  );
  const height = sorted.length * ROW;
  return (
    <figure className="race fit-costs" aria-label="Held-out loss against the original" ref={figure}>
      <figcaption>
        <b>What the swap costs</b>{' '}
        <span className="soft">
          nats per token over the original, on {report.tokens.heldOut.toLocaleString('en')} held-out tokens;
          less is better
        </span>
        {menu}
      </figcaption>
      <div className="race-body">
        <ul className="race-names" style={{ gridAutoRows: ROW }}>
          {sorted.map(({ key, name, about, color, as }) => (
            <li key={key} className={`is-${as}`} title={about}>
              <i className={`dot is-${as}`} aria-hidden style={{ '--member': color } as CSSProperties} />
              <span>{name}</span>
            </li>
          ))}
        </ul>
        <div className="race-plot" ref={frame}>
          {width > 0 && (
            <svg
              width={width}
              height={height + AXIS}
              role="img"
              aria-label="Cost on an axis of nats per token"
            >
              <g transform="translate(7,0)">
                {ticks.map((tick) => (
                  <g key={tick} transform={`translate(${x(tick)},0)`}>
                    <line className="grid" y2={height} />
                    <text
                      className="tick-text"
                      y={height + 15}
                      textAnchor={tick === 0 && low === 0 ? 'start' : 'middle'}
                    >
                      {tick === 0 ? '0' : `+${tick}`}
                    </text>
                  </g>
                ))}
                <line className="floor" x1={x(0)} x2={x(0)} y2={height} />
                {sorted.map(({ key, name, loss, color, as }, index) => {
                  const at = x(Number.isFinite(loss) ? loss - original : high);
                  return (
                    <g key={key} className={`is-${as}`} transform={`translate(0,${(index + 0.5) * ROW})`}>
                      <line className="cost" x1={x(0)} x2={at} style={{ stroke: color }} />
                      <circle r={as === 'shown' ? 7 : 5} cx={at} style={{ fill: color, color }}>
                        <title>
                          {name}: {nats(loss)} nats per token
                        </title>
                      </circle>
                    </g>
                  );
                })}
              </g>
            </svg>
          )}
        </div>
        <ul className="race-verdicts" style={{ gridAutoRows: ROW }}>
          {sorted.map(({ key, loss, rest, as }) => (
            <li key={key} className={`is-${as}`}>
              <b>{nats(loss)}</b>
              <i>{as === 'original' ? '' : signed(loss - original)}</i>
              <span className="soft">
                {rest && (
                  <>
                    KL {number(rest.kl)} · same top token {percent(rest.top1)}
                  </>
                )}
              </span>
            </li>
          ))}
        </ul>
      </div>
    </figure>
  );
}

const fitLine = ({ key, name, report }: KeptFit, color: string): Line => ({
  key,
  name: `${name}: ${memberWords(report)}, ${methodWords(report)}`,
  about: `${report.sites.length} sites; KL and agreement are to the original`,
  loss: report.measured?.fitted.loss ?? Number.NaN,
  rest: report.measured?.fitted ?? null,
  color,
  as: 'fit',
});

function linesOf(kept: KeptFit, color: string): Line[] {
  const { report } = kept;
  const { measured } = report;
  if (!measured) return [];
  const { raw, fresh, frozen, frozenCentred, native } = measured;
  const control = (key: string, name: string, about: string, of: Measured | null | undefined): Line[] =>
    of ? [{ key, name, about, loss: of.loss, rest: of, color: 'var(--soft)', as: 'control' }] : [];
  return [
    { ...fitLine(kept, color), name: methodWords(report), as: 'shown' },
    ...control('raw', 'raw swap', 'Only the operation changed: γ and β carried, all else as by default', raw),
    ...control('fresh', 'fresh module', 'As the DyT repository converts: half the gain, γ = 1, β = 0', fresh),
    ...control(
      'frozen',
      'σ and μ frozen',
      'γ(x − μ)/σ + β with one μ and σ a site, of the text that was fitted on: nothing bends',
      frozen,
    ),
    ...control(
      'centred',
      'σ frozen',
      'γ(x − μ)/σ + β with each token’s own μ: what work on removing LayerNorm starts from',
      frozenCentred,
    ),
    ...(native
      ? [
          {
            key: 'native',
            name: `trained with ${memberWords(report)}`,
            about: `${native.weights}: other weights, trained from the start with this norm`,
            loss: native.loss,
            rest: null,
            color: 'var(--native)',
            as: 'control' as const,
          },
        ]
      : []),
  ];
}

/** Ticks that have room beside each other, 0 first. */
function spaced(all: readonly number[], x: (value: number) => number): number[] {
  const taken: number[] = [];
  for (const tick of all) if (taken.every((other) => Math.abs(x(other) - x(tick)) > 34)) taken.push(tick);
  return taken;
}
