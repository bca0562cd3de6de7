// What was found out about the text in the editor: whether it compiles, how it compares, what it costs.
import { moreRoundsWords } from '../../bench/answers.ts';
import { PARITY_SHAPES, PARITY_TOLERANCE, timingShapes } from '../../bench/own.ts';
import type { OwnTiming, Parity } from '../../bench/own.ts';
import type { Shape } from '../../bench/spec.ts';
import type { Complaint } from '../../kernel/compile.ts';
import { normSpec } from '../../norm/registry.ts';
import { editedNorm, sameOwn, setOwn } from '../../store/own.ts';
import type { State } from '../../store/store.ts';
import { LEVEL_WORDS, shapeName } from '../bench/words.ts';
import { DataTable } from '../controls/DataTable.tsx';
import { duration, fixed, number, percent } from '../format.ts';
import { useExperiment, useWires } from '../hooks.ts';

const isOfChecked = (state: State): boolean => sameOwn(state.own.checked?.of, editedNorm(state));
const isOfTimed = (state: State): boolean => sameOwn(state.own.timed?.of, editedNorm(state));

export function Verdict({ onGo }: { readonly onGo: (complaint: Complaint) => void }) {
  const norm = useExperiment((state) => state.own.norm);
  const problem = useExperiment((state) => state.own.problem);
  const progress = useExperiment((state) => state.own.progress);
  const checked = useExperiment((state) =>
    state.own.checked?.of.norm === state.own.norm ? state.own.checked : null,
  );
  const isCurrent = useExperiment(isOfChecked);
  const { label } = normSpec(norm);
  return (
    <div className="own-verdict">
      {problem && (
        <p className="own-problem" role="alert">
          <strong>{problem.message}.</strong> {problem.hint}
        </p>
      )}
      {progress && (
        <p className="own-progress">
          {progress.stage} <progress value={progress.done} max={progress.of} aria-label={progress.stage} />
        </p>
      )}
      <div className={isCurrent ? '' : 'own-stale'}>
        {checked && !isCurrent && <p className="soft">Of the text before you changed it:</p>}
        {checked ? (
          <>
            <Complaints complaints={checked.check.complaints} onGo={onGo} />
            {checked.check.parity && <ParityTable parity={checked.check.parity} label={label} />}
          </>
        ) : (
          <p className="soft">
            <b>Check</b> compiles the text in every kernel of the run and compares its answers with {label}’s
            formula in float64. <b>Run</b> puts it into the model as well.
          </p>
        )}
      </div>
      <Timing label={label} />
    </div>
  );
}

function Complaints({
  complaints,
  onGo,
}: {
  readonly complaints: readonly Complaint[];
  readonly onGo: (complaint: Complaint) => void;
}) {
  if (complaints.length === 0)
    return (
      <p>
        <i className="light green" aria-hidden /> Compiles in every kernel of the run.
      </p>
    );
  return (
    <div role="status">
      <p>
        <i className="light red" aria-hidden /> It does not run; what ran before still does.
      </p>
      <ul className="own-complaints">
        {complaints.map((one) => (
          <li key={`${one.file} ${one.line} ${one.column} ${one.message}`}>
            {one.isOwn ? (
              <button type="button" className="quiet" onClick={() => onGo(one)}>
                line {one.line}
              </button>
            ) : (
              <span className="soft" title="A kernel that your text is joined with">
                {one.file}, line {one.line}
              </span>
            )}{' '}
            {one.message}
          </li>
        ))}
      </ul>
    </div>
  );
}

/** Green where it computes the same; plain words where not, as people change a norm on purpose. */
function ParityTable({
  parity: { rows, isSame },
  label,
}: {
  readonly parity: Parity;
  readonly label: string;
}) {
  const others = rows.filter(({ isEqual }) => !isEqual);
  const [first] = rows;
  return (
    <>
      <p>
        <i className={`light ${others.length ? 'changed' : 'green'}`} aria-hidden />{' '}
        {isSame
          ? `Bit for bit what ${label} computes here`
          : others.length === 0
            ? `Agrees with ${label}`
            : first && !first.isEqual && first.nonfiniteCount === 0
              ? `Differs from ${label} by up to ${number(first.maxAbs)} on normal values`
              : `Differs from ${label} on ${others.length} of ${rows.length} inputs`}
        {others.length === 0 ? ', and within tolerance of float64.' : '.'}
      </p>
      <p className="soft">
        Against {label} in float64, over {PARITY_SHAPES.map(({ T, C }) => `[${T}, ${C}]`).join(' ')}
      </p>
      <div className="table-scroll">
        <DataTable className="own-parity" name={`Compared with ${label} in float64`}>
          <thead>
            <tr>
              <th scope="col">input</th>
              <th scope="col">max |Δ|</th>
              <th scope="col" title="Over values of at least a thousandth of the largest">
                relative
              </th>
              <th scope="col">worst at</th>
              <th scope="col">{label} → yours</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ input, maxAbs, maxRel, nonfiniteCount, isEqual, worst }) => (
              <tr key={input} className={isEqual ? 'equal' : ''}>
                <th scope="row">{input}</th>
                <td>
                  {nonfiniteCount > 0 ? (
                    <b className="broken">{nonfiniteCount} NaN or Inf</b>
                  ) : (
                    number(maxAbs, 2)
                  )}
                </td>
                <td>{number(maxRel, 2)}</td>
                <td title={`${worst.form} kernel`}>
                  {isEqual ? '' : `[${worst.shape.T}, ${worst.shape.C}] ${worst.token}, ${worst.channel}`}
                </td>
                <td>{isEqual ? 'equal' : `${number(worst.want)} → ${number(worst.got)}`}</td>
              </tr>
            ))}
          </tbody>
        </DataTable>
      </div>
      <p className="soft">
        Equal is within {number(PARITY_TOLERANCE)} of the value, of γ, or of 1, whichever is largest. Worst
        at: token, channel.
      </p>
    </>
  );
}

const sameShape = (a: Shape, b: Shape): boolean => a.T === b.T && a.C === b.C;

function Timing({ label }: { readonly label: string }) {
  const { store, session } = useWires();
  const isSoftware = useExperiment(({ run }) => run.environment?.adapter.isFallback === true);
  const T = useExperiment(({ run }) => run.result?.tokens.length ?? null);
  const C = useExperiment(({ run }) => Object.values(run.inspections)[0]?.C ?? null);
  const chosen = useExperiment((state) => state.own.shape);
  const timed = useExperiment((state) =>
    state.own.timed?.of.norm === state.own.norm ? state.own.timed : null,
  );
  const isCurrent = useExperiment(isOfTimed);
  const canRun = useExperiment(({ run }) => run.loaded !== null);
  const run = T !== null && C !== null ? [{ T, C }] : [];
  const shapes = [
    ...run,
    ...timingShapes(isSoftware).filter((shape) => !run.some((one) => sameShape(one, shape))),
  ];
  const shape = shapes.find((one) => chosen && sameShape(one, chosen)) ?? shapes[0];
  if (!shape) return null;
  return (
    <div className="own-timing">
      <div className="own-buttons">
        <button
          type="button"
          disabled={!canRun}
          title={`Yours and ${label} by turns in random order, on the same buffers`}
          onClick={() => void session.timeOwn(shape)}
        >
          Time
        </button>
        <select
          aria-label="Tokens × channels"
          value={shapeName(shape)}
          onChange={({ target }) =>
            setOwn(store, { shape: shapes.find((one) => shapeName(one) === target.value) ?? null })
          }
        >
          {shapes.map((one) => (
            <option key={shapeName(one)} value={shapeName(one)}>
              {shapeName(one)}
              {run.includes(one) ? ', as this run' : ''}
            </option>
          ))}
        </select>
      </div>
      {timed ? (
        <div className={isCurrent ? '' : 'own-stale'}>
          <TimingWords timing={timed.timing} label={label} isSoftware={isSoftware} />
        </div>
      ) : (
        <p className="soft">Yours beside {label}, in interleaved rounds.</p>
      )}
    </div>
  );
}

function TimingWords({
  timing,
  label,
  isSoftware,
}: {
  readonly timing: OwnTiming;
  readonly label: string;
  readonly isSoftware: boolean;
}) {
  const { ownUs, originalUs, stepUs, centerIs, compared, confidence, level, shape } = timing;
  const time = (us: number | null): string => (us === null ? '–' : duration(us / 1000, stepUs / 1000));
  const VERDICTS = {
    'a faster': `yours is faster than ${label}`,
    'b faster': `${label} is faster`,
    'no practical difference': 'no practical difference',
    'not resolved': `not resolved${compared?.moreRounds ? `, about ${moreRoundsWords(compared.moreRounds)}` : ''}`,
  } as const;
  return (
    <>
      <p>
        <b>{time(ownUs)}</b> yours, <b>{time(originalUs)}</b> {label}
        {compared && (
          <>
            : <b>{fixed(compared.ratio, 2)} ×</b>{' '}
            <span className="soft">
              ({fixed(compared.ci[0], 2)}–{fixed(compared.ci[1], 2)}, {percent(confidence)}, {compared.rounds}{' '}
              rounds)
            </span>
            , {VERDICTS[compared.verdict]}
          </>
        )}
        .
      </p>
      <p className="soft">
        {shapeName(shape)}, f32, {centerIs} {LEVEL_WORDS[level].short}
        {isSoftware && '; a software adapter says nothing of a GPU'}
        {timing.isSteady ? '' : '; the machine was not steady'}
      </p>
    </>
  );
}
