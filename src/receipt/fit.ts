// A fit as files: JSON that carries the fitted values, and a report in Markdown to paste anywhere.
import * as v from 'valibot';
import type { FitReport, Measured } from '../fit/spec.ts';
import { adapterName } from '../gpu/device.ts';
import { normSpec } from '../norm/registry.ts';
import { FitReceipt } from './fit-schema.ts';

/** The report as `normscope/fit/1`, checked against its schema. Throws ValiError. */
export const fitJson = (report: FitReport): string =>
  `${JSON.stringify(v.parse(FitReceipt, report), null, 1)}\n`;

/** A report out of a file's text. Throws SyntaxError or ValiError. */
export const readFit = (json: string): FitReport => v.parse(FitReceipt, JSON.parse(json)) as FitReport;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const digits = (value: number | null | undefined, n = 4): string =>
  value === null || value === undefined ? '' : value.toFixed(n);

const MEASURES = ['held-out loss, nats per token', 'KL to the original, nats', 'top-1 agreement'];
const measuredCells = ({ loss, kl, top1 }: Measured): string[] => [
  digits(loss),
  digits(kl),
  `${(100 * top1).toFixed(1)} %`,
];

const adapterWords = (adapter: FitReport['adapter']): string =>
  `${adapterName(adapter)}${adapter.isFallback ? ' (software adapter)' : ''}`;

const scalarWords = (scalars: Readonly<Record<string, number>>): string =>
  Object.entries(scalars)
    .map(([name, value]) => `${name} ${value.toPrecision(4)}`)
    .join(', ');

const BLOCK = 20;

/** Medians of blocks of steps. */
function traceWords(trace: readonly number[]): string[] {
  if (!trace.length) return [];
  const medians = Array.from({ length: Math.ceil(trace.length / BLOCK) }, (_, i) => {
    const block = trace.slice(BLOCK * i, BLOCK * (i + 1)).toSorted((a, b) => a - b);
    return digits(block[block.length >> 1]);
  });
  return [
    `${trace.length} steps of fine-tuning; KL to the original's predictions in nats per token, medians of ${BLOCK} steps: ${medians.join(', ')}.`,
  ];
}

/** Fits of one model side by side: what each reached on the held-out text, and how long it took. */
export function fitsMarkdown(reports: readonly FitReport[]): string {
  const [one] = reports;
  if (!one) return '';
  const fits = reports.flatMap(({ sites, method, firstToken, measured, seconds }) => {
    const members = [...new Set(sites.map(({ norm }) => normSpec(norm).label))].join(', ');
    const took = seconds.collect + seconds.fit + seconds.tune;
    return measured
      ? [
          [
            members,
            `${method}${firstToken === 'own' ? ', first token apart' : ''}`,
            ...measuredCells(measured.fitted),
            took.toFixed(1),
          ],
        ]
      : [];
  });
  const { heldOutLoss, tokens, adapter, weights } = one;
  return `${weights} as trained: ${digits(heldOutLoss.original)} nats per token on ${tokens.heldOut} held-out tokens; ${tokens.calibration} others to fit on. ${adapterWords(adapter)}.

${table(['norm', 'method', ...MEASURES, 'seconds to fit'], fits)}
`;
}

/** The report in Markdown; `snippet` is what loads the converted model in PyTorch. */
export function fitMarkdown(report: FitReport, snippet?: string): string {
  const { measured, heldOutLoss, sites, sweep, seconds, tokens } = report;
  const row = (name: string, cells: Measured): string[] => [name, ...measuredCells(cells)];
  const members = [...new Set(sites.map(({ norm }) => normSpec(norm).label))].join(', ');
  const whole = [
    ['as trained', digits(heldOutLoss.original), '', ''],
    ...(measured
      ? [
          row(`fitted: ${report.method}`, measured.fitted),
          row('raw swap', measured.raw),
          ...(measured.fresh ? [row('fresh module', measured.fresh)] : []),
          row('σ and μ frozen', measured.frozen),
          ...(measured.frozenCentred
            ? [row('σ frozen, mean of each token taken off', measured.frozenCentred)]
            : []),
          ...(measured.native
            ? [[`trained so (${measured.native.weights})`, digits(measured.native.loss), '', '']]
            : []),
        ]
      : []),
  ];
  const hasMethods = sites.some(({ method }) => method !== report.method);
  const parts = [
    `# ${report.weights} → ${members}, ${report.method}${report.kappa === null ? '' : `, κ = ${report.kappa}`}`,
    `${tokens.calibration} tokens to fit on, ${tokens.heldOut} others to measure on. ${adapterWords(report.adapter)}; ${Object.entries(
      seconds,
    )
      .map(([stage, value]) => `${stage} ${value.toFixed(1)} s`)
      .join(', ')}.${report.isStopped ? ' Stopped before its end.' : ''}`,
    table(['', ...MEASURES], whole),
    ...(sweep.length
      ? [
          table(
            ['κ', 'loss on the calibration text', 'held-out loss'],
            sweep.map(({ kappa, calibration, heldOut }) => [
              `${kappa}`,
              digits(calibration),
              digits(heldOut),
            ]),
          ),
        ]
      : []),
    ...traceWords(report.trace),
    ...(report.order ? [`Swapped in this order: ${report.order.join(', ')}.`] : []),
    table(
      [
        'site',
        'norm',
        ...(hasMethods ? ['method'] : []),
        'scalars',
        'R²',
        'Δloss alone',
        'Δloss of all for it',
      ],
      sites.map(({ site, norm, method, scalars, firstScalars, r2, aloneDelta, withoutDelta }) => [
        site,
        normSpec(norm).label,
        ...(hasMethods ? [method] : []),
        `${scalarWords(scalars)}${firstScalars ? `; first token ${scalarWords(firstScalars)}` : ''}`,
        digits(r2),
        digits(aloneDelta),
        digits(withoutDelta === null ? null : -withoutDelta),
      ]),
    ),
  ];
  if (snippet !== undefined) parts.push(`## In PyTorch\n\n\`\`\`python\n${snippet.trimEnd()}\n\`\`\``);
  return `${parts.join('\n\n')}\n`;
}
