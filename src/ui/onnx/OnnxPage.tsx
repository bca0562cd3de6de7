import type { CSSProperties } from 'react';
import type { OpenedOnnx } from '../../engine/onnx-file.ts';
import { isNormId, NORM_IDS, normSpec } from '../../norm/registry.ts';
import type { NormId } from '../../norm/registry.ts';
import { chooseAt, chooseEverywhere, setOnnx } from '../../store/onnx.ts';
import type { ShownOnnxRun } from '../../store/onnx.ts';
import { FileButton } from '../controls/FileButton.tsx';
import { DataTable } from '../controls/DataTable.tsx';
import { normColor } from '../colors.ts';
import { download } from '../exports.ts';
import { bytes, number } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import './onnx.css';

/** Somebody's ONNX file: its norms, what they become, and what that does to its outputs and its time. */
export function OnnxPage() {
  const { store, session } = useWires();
  const { opened, ids, run, members } = useExperiment((state) => state.onnx);
  const phase = useExperiment((state) => state.run.phase);
  const isBusy = phase === 'running';
  if (!opened) return <Invitation />;
  return (
    <div className="onnx">
      <aside aria-label="The file">
        <FileCard opened={opened} />
        <label className="onnx-field">
          <span className="word">Token ids</span>
          <textarea
            rows={3}
            value={ids}
            spellCheck={false}
            onChange={(event) => setOnnx(store, { ids: event.target.value })}
          />
        </label>
        <div className="onnx-buttons">
          {isBusy ? (
            <button type="button" onClick={session.stop}>
              Stop
            </button>
          ) : (
            <button type="button" className="primary" onClick={() => void session.runOnnx()}>
              Run
            </button>
          )}
          <button type="button" disabled={isBusy} onClick={() => void save(session.exportOnnxFile, opened)}>
            Export ONNX
          </button>
          <OpenButton words="Open another" />
        </div>
        <p role="status" className="soft">
          {isBusy ? 'Running both files in onnxruntime' : `Ready · ${Object.keys(members).length} swapped`}
        </p>
      </aside>
      <div className="onnx-main">
        {run && <Differences run={run} />}
        <Sites opened={opened} run={run} />
      </div>
    </div>
  );
}

async function save(take: () => Promise<Uint8Array | null>, { file }: OpenedOnnx): Promise<void> {
  const made = await take();
  if (made)
    download(file.replace(/(.*\/)?(.*)\.onnx$/i, '$2-swapped.onnx'), 'application/octet-stream', made);
}

function OpenButton({ words }: { readonly words: string }) {
  const { session } = useWires();
  return (
    <FileButton
      words={words}
      isMultiple
      onFiles={(files) => void session.openOnnx(files.map(({ file }) => file))}
    />
  );
}

function Invitation() {
  return (
    <section className="onnx-invitation">
      <h2>Drop a transformer’s .onnx file anywhere on the page</h2>
      <p>
        Its normalization layers are found, as operators or in plain steps. Put another norm in their place,
        run both files here, and see what that does to the outputs. The file never leaves this machine.
      </p>
      <p className="soft">
        A file that keeps its data in another one (.onnx_data) is dropped together with it.
      </p>
      <OpenButton words="Choose files" />
    </section>
  );
}

function FileCard({ opened }: { readonly opened: OpenedOnnx }) {
  const { file, sizeBytes, producer, opset, nodeCount, weightCount, inputs, outputs } = opened;
  const values = (all: OpenedOnnx['inputs']) =>
    all.slice(0, 6).map(({ name, words }) => (
      <li key={name}>
        <b>{name}</b> <span className="soft">{words}</span>
      </li>
    ));
  return (
    <section className="onnx-file">
      <h2 title={file}>{file}</h2>
      <p className="soft">
        {bytes(sizeBytes)} ·{' '}
        {weightCount < 1e6 ? weightCount.toLocaleString('en') : `${number(weightCount / 1e6)} M`} weights ·{' '}
        {nodeCount} nodes · opset {opset}
        {producer && ` · ${producer}`}
      </p>
      <ul>
        {values(inputs)}
        {inputs.length > 6 && <li className="soft">and {inputs.length - 6} more</li>}
      </ul>
      <span className="word">gives</span>
      <ul>{values(outputs)}</ul>
    </section>
  );
}

/** What the swaps did to each output, and to the time. */
function Differences({ run }: { readonly run: ShownOnnxRun }) {
  const { originalMs, rewrittenMs, differences, engine, feeds } = run;
  return (
    <section className="onnx-differences">
      <dl>
        <div>
          <dt>Time, median of {originalMs.n}</dt>
          <dd>
            {number(originalMs.median)} ms{rewrittenMs && <> → {number(rewrittenMs.median)} ms</>}
          </dd>
        </div>
        {differences.map(({ name, maxAbs, largest, rows }) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              max |Δ| {number(maxAbs)} <small>of {number(largest)}</small>
              {rows && (
                <small>
                  {' '}
                  · KL {number(rows.maxKl)} nats · same top {Math.round(rows.topAgreement * rows.count)} of{' '}
                  {rows.count}
                </small>
              )}
            </dd>
          </div>
        ))}
      </dl>
      <p className="soft">
        {rewrittenMs ? 'As it came → with its swaps' : 'As it came; choose another norm below to compare'} ·{' '}
        {engine} · fed {feeds.map(({ name, from }) => `${name}: ${from}`).join(', ')}
      </p>
    </section>
  );
}

function MemberSelect({
  label,
  value,
  kept,
  refusals,
  onChange,
}: {
  readonly label: string;
  readonly value: NormId | null;
  readonly kept: string;
  readonly refusals: Readonly<Partial<Record<NormId, string>>>;
  readonly onChange: (norm: NormId | null) => void;
}) {
  return (
    <select
      aria-label={label}
      value={value ?? ''}
      className={value ? 'chosen' : ''}
      onChange={({ target }) => onChange(isNormId(target.value) ? target.value : null)}
    >
      <option value="">{kept}</option>
      {NORM_IDS.map((id) => (
        <option key={id} value={id} disabled={refusals[id] !== undefined} title={refusals[id]}>
          {normSpec(id).label}
        </option>
      ))}
    </select>
  );
}

function Sites({ opened, run }: { readonly opened: OpenedOnnx; readonly run: ShownOnnxRun | null }) {
  const { store } = useWires();
  const members = useExperiment((state) => state.onnx.members);
  const isDark = useIsDark();
  const { sites } = opened;
  if (sites.length === 0)
    return (
      <p className="notice">
        <b>No normalization was found.</b> Norms inside branches or functions of the graph are not looked for.
      </p>
    );
  const chosen = new Set(Object.values(members));
  const [only] = chosen;
  const dot = (norm: NormId) => (
    <span className="dot" style={{ '--member': normColor(norm, isDark) } as CSSProperties} />
  );
  return (
    <div className="onnx-scroll">
      <DataTable name="Norms of the file" className="onnx-sites">
        <thead>
          <tr>
            <th scope="col">
              {sites.length} {sites.length === 1 ? 'site' : 'sites'}, in running order
            </th>
            <th scope="col">is</th>
            <th scope="col" className="n">
              C
            </th>
            <th scope="col" className="n">
              ε
            </th>
            <th scope="col">
              <MemberSelect
                label="Norm at every site"
                value={chosen.size === 1 && only ? only : null}
                kept="all: keep"
                refusals={{}}
                onChange={(norm) => chooseEverywhere(store, norm)}
              />
            </th>
            <th scope="col" className="n">
              σ in
            </th>
            <th scope="col" className="n">
              σ out
            </th>
            <th scope="col" className="n">
              max |Δ|
            </th>
          </tr>
        </thead>
        <tbody>
          {sites.map((site) => {
            const { id, norm, writtenAs, C, eps, refusal, refusals } = site;
            const change = run?.sites[id];
            return (
              <tr key={id} className={members[id] ? 'swapped' : ''}>
                <th scope="row" title={`${id}: ${writtenAs}`}>
                  <span className="path">{id}</span>
                  <small className="soft">{writtenAs}</small>
                </th>
                <td>
                  {dot(norm)} {normSpec(norm).label}
                </td>
                <td className="n">{C ?? '?'}</td>
                <td className="n">{eps ? number(eps, 2) : '–'}</td>
                <td>
                  {refusal ? (
                    <span className="soft" title={refusal}>
                      fixed: {refusal}
                    </span>
                  ) : (
                    <MemberSelect
                      label={`Norm at ${id}`}
                      value={members[id] ?? null}
                      kept="keep"
                      refusals={refusals}
                      onChange={(next) => chooseAt(store, id, next)}
                    />
                  )}
                </td>
                <td className="n">{change ? number(change.inStd) : ''}</td>
                <td className="n">
                  {change && number(change.outStd)}
                  {change?.newOutStd != null && ` → ${number(change.newOutStd)}`}
                </td>
                <td className="n">{change?.maxAbs != null && number(change.maxAbs)}</td>
              </tr>
            );
          })}
        </tbody>
      </DataTable>
    </div>
  );
}
