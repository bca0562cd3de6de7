// What stands around the race: the four answers, the machine's limits, where a forward's time goes, memory.
import { answers } from '../../bench/answers.ts';
import type { BenchReport } from '../../bench/spec.ts';
import { OP_KINDS } from '../../model/program.ts';
import { DataTable } from '../controls/DataTable.tsx';
import { normColor } from '../colors.ts';
import { bytes, number, percent } from '../format.ts';
import { useIsDark } from '../hooks.ts';
import { average } from '../statistics.ts';
import { labelOf } from './RaceChart.tsx';
import { cellName, gb } from './words.ts';

export function Answers({ report }: { readonly report: BenchReport }) {
  return (
    <div className="answers">
      {answers(report).map(({ id, question, answer, support, isSupported }) => (
        <section key={id} className={isSupported ? '' : 'open'}>
          <h3>{question}</h3>
          <p>{answer}</p>
          {support.length > 0 && (
            <details>
              <summary>what this stands on</summary>
              <ul>
                {support.map((line) => (
                  <li key={line}>{line}</li>
                ))}
              </ul>
            </details>
          )}
        </section>
      ))}
    </div>
  );
}

/** What this machine can do at most, measured in the session. */
export function Machine({ report }: { readonly report: BenchReport }) {
  const { roofline } = report;
  if (!roofline) return null;
  const { copy, read, write, cacheBytes, fmaF32, fmaF16, exp, tanh, emptyDispatch, submitWallUs } = roofline;
  const rows: readonly (readonly [string, string])[] = [
    ['copy', gb(copy.gbPerS)],
    ['read', gb(read.gbPerS)],
    ['write', gb(write.gbPerS)],
    ['cache ends at', cacheBytes === null ? 'no step seen' : bytes(cacheBytes)],
    ['FMA f32', `${number(fmaF32.gPerS)} GFLOP/s`],
    ['FMA f16', fmaF16 ? `${number(fmaF16.gPerS)} GFLOP/s` : 'no shader-f16 here'],
    ['exp', `${number(exp.gPerS)} G/s`],
    ['tanh', `${number(tanh.gPerS)} G/s`],
    ['empty dispatch', `${number(emptyDispatch.gpuUs ?? emptyDispatch.wallUs)} µs`],
    ['submit and wait', `${number(submitWallUs)} µs`],
  ];
  return (
    <section>
      <h3>What this machine can do at most</h3>
      <dl className="roofline">
        {rows.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** Where a forward's time goes, by kind of operation; a tier of its own. */
export function Breakdowns({ report }: { readonly report: BenchReport }) {
  if (report.breakdowns.length === 0) return null;
  return (
    <section>
      <h3>
        Where a forward’s time goes{' '}
        <small className="soft">one pass per operation: sums exceed the whole</small>
      </h3>
      <DataTable name="Where a forward’s time goes" className="breakdowns">
        <tbody>
          {report.breakdowns.map(({ cell, contestant, operations, normShare }) => {
            const sums = OP_KINDS.map((kind) => ({
              kind,
              us: operations.reduce(
                (sum, op) =>
                  op.kind === kind ? sum + average(op.samplesUs.filter((us) => us !== null)) : sum,
                0,
              ),
            })).filter(({ us }) => us > 0);
            const all = sums.reduce((sum, { us }) => sum + us, 0);
            const where = report.cells.find(({ id }) => id === cell);
            return (
              <tr key={`${cell} ${contestant}`}>
                <th scope="row">{labelOf(report, contestant)}</th>
                <td>{where ? cellName(where) : cell}</td>
                <td className="stack-cell">
                  <div
                    className="stack"
                    role="img"
                    aria-label={sums.map(({ kind, us }) => `${kind} ${percent(us / all)}`).join(', ')}
                  >
                    {sums.map(({ kind, us }) => (
                      <i
                        key={kind}
                        className={`kind ${kind}`}
                        style={{ width: `${(100 * us) / all}%` }}
                        title={`${kind} ${percent(us / all)}`}
                      />
                    ))}
                  </div>
                </td>
                <td>
                  {normShare && (
                    <>
                      norms <b>{percent(normShare.share)}</b>{' '}
                      <small className="soft">
                        [{percent(normShare.ci[0])} to {percent(normShare.ci[1])}]
                      </small>
                    </>
                  )}
                </td>
              </tr>
            );
          })}
        </tbody>
      </DataTable>
    </section>
  );
}

/** Bytes that programs allocated, by norm. */
export function Memory({ report }: { readonly report: BenchReport }) {
  const isDark = useIsDark();
  if (report.memory.length === 0) return null;
  return (
    <section>
      <h3>What a norm costs in memory</h3>
      <DataTable name="What a norm costs in memory">
        <thead>
          <tr>
            {['', 'norm parameters', 'activations', 'whole program', 'peak'].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {report.memory.map(
            ({ contestant, member, normBytes, bytesByPurpose, allocatedBytes, peakBytes }) => (
              <tr key={contestant}>
                <th scope="row">
                  {member && (
                    <i className="dot" style={{ background: normColor(member, isDark) }} aria-hidden />
                  )}
                  {labelOf(report, contestant)}
                </th>
                <td>{bytes(normBytes)}</td>
                <td>{bytes(bytesByPurpose.activations)}</td>
                <td>{bytes(allocatedBytes)}</td>
                <td>{bytes(peakBytes)}</td>
              </tr>
            ),
          )}
        </tbody>
      </DataTable>
    </section>
  );
}

/** What a reader of the numbers must know: the worst in a line, the rest a click away. */
export function Flags({ report }: { readonly report: BenchReport }) {
  const words = [
    ...(report.isStopped ? ['Stopped before its end: what was measured until then is shown.'] : []),
    ...new Set(report.flags.map((flag) => flag.words)),
  ];
  const [first, ...rest] = words;
  if (!first) return null;
  return (
    <div className="bench-flags">
      {first}{' '}
      {rest.length > 0 && (
        <details>
          <summary>
            {rest.length} more {rest.length === 1 ? 'note' : 'notes'}
          </summary>
          <ul>
            {rest.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </details>
      )}
    </div>
  );
}

/** What is expected of everyone, in front of the measuring. */
export function Prediction({
  foreseen,
}: {
  readonly foreseen: Pick<BenchReport, 'predictions' | 'cells' | 'contestants'>;
}) {
  const { predictions, cells, contestants } = foreseen;
  return (
    <section className="bench-predicted" aria-label="Prediction">
      <h2>
        Predicted from bytes, FLOPs and dispatches{' '}
        <small>before anything was measured but what this machine can do at most</small>
      </h2>
      <DataTable name="Predicted, in µs">
        <thead>
          <tr>
            <th scope="col">µs</th>
            {cells.map((cell) => (
              <th key={cell.id} scope="col">
                {cellName(cell)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {contestants.map(({ id }) => (
            <tr key={id}>
              <th scope="row">{labelOf(foreseen, id)}</th>
              {cells.map(({ id: cell }) => {
                const one = predictions.find((p) => p.cell === cell && p.contestant === id);
                return (
                  <td key={cell}>
                    {one && (
                      <>
                        <b>{number(one.predictedUs)}</b>
                        <small className="soft">by {one.boundBy}</small>
                      </>
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </DataTable>
    </section>
  );
}
