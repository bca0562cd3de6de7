import { shaderSource } from '../../kernel/compile.ts';
import { meanAndVariance } from '../../norm/reference.ts';
import { normSpec } from '../../norm/registry.ts';
import type { SiteReport } from '../../engine/api.ts';
import type { Token } from '../../format/tokenizer.ts';
import { shownChannel } from '../../store/microscope.ts';
import { shownToken } from '../../store/store.ts';
import { Formula } from '../controls/Formula.tsx';
import { Menu } from '../controls/Menu.tsx';
import { fixed, number, visible } from '../format.ts';
import { useExperiment } from '../hooks.ts';
import type { Look } from '../look.ts';

const GREEK: Record<string, string> = { alpha: 'α', shift: 's', b: 'b' };
const TEX: Record<string, string> = { alpha: String.raw`\alpha`, shift: 's', b: 'b' };

type Cell = { readonly token: number; readonly channel: number };

/** `x = 1.83, α = 0.71, tanh = 0.86, γ = 1.10, β = −0.02 → y = 0.93`: name in KaTeX, value; in the order of computing. */
export function arithmetic(
  { norm, scalars }: Pick<SiteReport, 'norm' | 'scalars'>,
  { x, C, params, core, y }: Look,
  { token, channel }: Cell,
): [name: string, value: number][] {
  const { line, params: specs, curve } = normSpec(norm);
  const at = token * C + channel;
  const row = x.subarray(token * C, (token + 1) * C);
  const param = (name: string): number => {
    const values = params[name];
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
    ...Object.entries(scalars).map(([name, value]): [string, number] => [TEX[name] ?? name, value]),
    [
      curve && norm ? String.raw`\mathrm{${curve.replace('a line', 'core')}}` : String.raw`\hat x`,
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
          <Formula tex={spec.formula} />
          <a href={`https://arxiv.org/abs/${spec.paper.slice('arXiv:'.length)}`} title="The paper">
            {spec.year}
          </a>
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
          <pre>{shaderSource(`norm/${report.norm}`)}</pre>
        </Menu>
      </span>
    </>
  );
}
