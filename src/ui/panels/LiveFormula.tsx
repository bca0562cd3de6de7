import { memberSource } from '../../kernel/own.ts';
import { meanAndVariance } from '../../norm/reference.ts';
import { normSpec } from '../../norm/registry.ts';
import type { SiteReport } from '../../engine/api.ts';
import type { Token } from '../../format/tokenizer.ts';
import { shownChannel } from '../../store/microscope.ts';
import { openEditor } from '../../store/own.ts';
import { shownToken } from '../../store/store.ts';
import { Formula } from '../controls/Formula.tsx';
import { Menu } from '../controls/Menu.tsx';
import { fixed, number, visible } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';
import type { Look } from '../look.ts';

const GREEK: Record<string, string> = { alpha: 'α', shift: 's', b: 'b' };
const TEX: Record<string, string> = { alpha: String.raw`\alpha`, shift: 's', b: 'b' };

/** What a person's text gives before γ and β. */
const OWN_TEX = String.raw`\mathrm{own}`;

type Cell = { readonly token: number; readonly channel: number };

/** `x = 1.83, α = 0.71, tanh = 0.86, γ = 1.10, β = −0.02 → y = 0.93`: name in KaTeX, value; in the order of computing. */
export function arithmetic(
  { norm, isOwn, scalars }: Pick<SiteReport, 'norm' | 'isOwn' | 'scalars'>,
  { x, C, params, firstParams, core, y }: Look,
  { token, channel }: Cell,
): [name: string, value: number][] {
  const { line, params: specs, curve } = normSpec(norm);
  const at = token * C + channel;
  const row = x.subarray(token * C, (token + 1) * C);
  const ran = (token === 0 && firstParams) || params;
  const param = (name: string): number => {
    const values = ran[name];
    return values?.[values.length === 1 ? 0 : channel] ?? Number.NaN;
  };
  const [mean, variance] = meanAndVariance((c) => row[c] ?? Number.NaN, C);
  const rowStatistics: [string, number][] = !line
    ? []
    : line.per === 'std'
      ? [
          [String.raw`\mu_t`, mean],
          [String.raw`\sigma_t`, Math.sqrt(variance)],
        ]
      : [[String.raw`\mathrm{rms}_t`, Math.sqrt(variance + mean * mean)]];
  const columnStatistics = Object.entries(specs).flatMap(([name, { measured }]): [string, number][] => {
    if (measured === 'mean') return [[String.raw`\mu_c`, param(name)]];
    return measured === 'variance' ? [[String.raw`\sigma_c`, Math.sqrt(param(name))]] : [];
  });
  return [
    ['x', x[at] ?? Number.NaN],
    ...rowStatistics,
    ...columnStatistics,
    ...Object.keys(scalars).map((name): [string, number] => [TEX[name] ?? name, param(name)]),
    [
      isOwn
        ? OWN_TEX
        : curve && norm
          ? String.raw`\mathrm{${curve.replace('a line', 'core')}}`
          : String.raw`\hat x`,
      core[at] ?? Number.NaN,
    ],
    [String.raw`\gamma`, param('gamma')],
    [String.raw`\beta`, param('beta')],
    ['y', y[at] ?? Number.NaN],
  ];
}

const inTex = (value: number): string =>
  (Math.abs(value) >= 0.005 && Math.abs(value) < 1000 ? fixed(value, 2) : number(value)).replace('−', '-');

/** The member's formula; of the marked value, its arithmetic. Beside it the WGSL that computed it. */
export function LiveFormula({
  report,
  look,
  tokens,
}: {
  readonly report: SiteReport;
  readonly look: Look | null;
  readonly tokens: readonly Token[];
}) {
  const token = useExperiment(shownToken);
  const channel = useExperiment(shownChannel);
  const text = useExperiment(({ run }) => run.result?.plan.own?.source);
  const { store } = useWires();
  const spec = normSpec(report.norm);
  const cell = look && token !== null && channel !== null && channel < look.C ? { token, channel } : null;
  const parts = cell && look ? arithmetic(report, look, cell) : [];
  const tex = parts
    .map(([name, value]) => `${name} = ${inTex(value)}`)
    .join(String.raw`,\;`)
    .replace(/,\\;(?=y = )/, String.raw`\;\to\;`);
  return (
    <>
      {cell ? (
        <span className="arithmetic" title={`channel ${cell.channel} of this token`}>
          <span className="soft">
            <code>{visible(tokens[cell.token]?.text ?? '')}</code> {cell.channel}
          </span>
          <Formula tex={tex} />
        </span>
      ) : (
        <>
          <Formula tex={report.isOwn ? String.raw`y = \gamma\,${OWN_TEX}(x) + \beta` : spec.formula} />
          {!report.isOwn && (
            <a href={`https://arxiv.org/abs/${spec.paper.slice('arXiv:'.length)}`} title="The paper">
              {spec.year}
            </a>
          )}
          <span className="scalars">
            {Object.entries(report.scalars).map(([name, value]) => (
              <span key={name}>
                {GREEK[name] ?? name} = <b>{number(value)}</b>
              </span>
            ))}
          </span>
        </>
      )}
      <span className="wgsl">
        <Menu label="The WGSL of this norm" sign="WGSL" title="The code that computes it on the GPU">
          <button
            type="button"
            className="small"
            onClick={({ currentTarget }) => {
              currentTarget.closest('details')?.removeAttribute('open');
              openEditor(store, report.norm);
            }}
          >
            Edit it: your own {spec.label}
          </button>
          <pre>{report.isOwn ? text : memberSource(report.norm)}</pre>
        </Menu>
      </span>
    </>
  );
}
