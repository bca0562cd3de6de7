import { useEffect, useState } from 'react';
import { methodsFor } from '../../fit/spec.ts';
import { canResume } from '../../store/fit.ts';
import type { KeptFit } from '../../store/fit.ts';
import { setRun } from '../../store/store.ts';
import { problemData } from '../../problem.ts';
import { fitMarkdown } from '../../receipt/fit.ts';
import { SourceBadges, Tag } from '../controls/Badge.tsx';
import { number } from '../format.ts';
import { useWires } from '../hooks.ts';
import { Costs } from './Costs.tsx';
import { GainChart, LossMap, SweepChart, TraceChart } from './Figures.tsx';
import {
  canWriteFolders,
  copy,
  saveJson,
  saveMarkdown,
  saveModel,
  saveOnnx,
  snippetOf,
} from './take-home.ts';
import { fitWords, membersOf, secondsOf, subjectOfFit, swapWords } from './words.ts';

/** What a fit reached: in a sentence, beside its controls, site by site, token by token. */
export function Result({
  shown,
  kept,
  isBusy,
}: {
  readonly shown: KeptFit;
  readonly kept: readonly KeptFit[];
  readonly isBusy: boolean;
}) {
  const { session } = useWires();
  const { report } = shown;
  const { seconds, tokens, adapter, trace, method } = report;
  const canTune =
    method !== 'fine-tune' && membersOf(report).every((id) => methodsFor(id).includes('fine-tune'));
  const stages = Object.entries(seconds).filter(([, value]) => value > 0);
  return (
    <section className="fit-result" aria-label="Result of the fit">
      <header>
        <h2>
          {swapWords(report)} <SourceBadges source="fitted" own={undefined} />
          {adapter.isFallback && (
            <Tag tone="warn" about="Losses are right; seconds are those of a program on the processor">
              software adapter
            </Tag>
          )}
          {shown.origin === 'file' && <Tag about="Fitted elsewhere, opened from a file">recorded</Tag>}
        </h2>
        <p className="fit-sentence">{fitWords(report)}</p>
        <p className="soft">
          {number(secondsOf(report), 3)} s (
          {stages.map(([stage, value]) => `${stage} ${number(value, 2)}`).join(', ')}) ·{' '}
          {tokens.calibration.toLocaleString('en')} tokens to fit on, {tokens.heldOut.toLocaleString('en')}{' '}
          others to measure on
        </p>
        {(report.isStopped || canTune) && (
          <p className="fit-next">
            {canResume(shown) && (
              <button type="button" disabled={isBusy} onClick={() => void session.resumeFit(shown)}>
                Resume
              </button>
            )}
            {canTune && (
              <button
                type="button"
                disabled={isBusy}
                title="Gradient descent on the norms’ parameters from here, with the steps and rate of the controls"
                onClick={() => void session.fitFrom(shown, 'fine-tune')}
              >
                Fine-tune from here
              </button>
            )}
          </p>
        )}
      </header>
      <Costs shown={shown} kept={kept} />
      <TakeHome shown={shown} />
      <div className="fit-figures">
        <GainChart report={report} />
        <SweepChart report={report} />
        {trace.length > 1 && <TraceChart trace={trace} steps={trace.length} subject={subjectOfFit(report)} />}
        <LossMap report={report} />
      </div>
    </section>
  );
}

/** The fitted model where somebody wants it. */
function TakeHome({ shown: { report } }: { readonly shown: KeptFit }) {
  const { store, session } = useWires();
  const [said, setSaid] = useState<string | null>(null);
  useEffect(() => {
    if (said === null) return undefined;
    const timer = setTimeout(() => setSaid(null), 2000);
    return () => clearTimeout(timer);
  }, [said]);
  const snippet = snippetOf(report);
  const attempt = async (act: () => Promise<void> | void): Promise<void> => {
    try {
      await act();
    } catch (thrown) {
      setRun(store, { problem: problemData(thrown) });
    }
  };
  const copied = (name: string, text: string): Promise<void> =>
    attempt(() => copy(text).then(() => setSaid(name)));
  const folder = canWriteFolders();
  const buttons: readonly (readonly [name: string, about: string, act: () => Promise<void>])[] = [
    [
      'Converted model',
      folder
        ? 'safetensors, config.json, tokenizer and load.py as a folder: names as in the DyT and Derf repositories'
        : 'model.safetensors, config.json, tokenizer.json and load.py: names as in the DyT and Derf repositories',
      () => attempt(() => saveModel(session, report)),
    ],
    ['ONNX', 'The fitted model for any other runtime', () => attempt(() => saveOnnx(session, report))],
    ...(snippet === null
      ? []
      : [
          [
            'Copy PyTorch',
            'A module of the norm, and how the converted file’s norms are put into a model',
            () => copied('Copy PyTorch', snippet),
          ] as const,
        ]),
    [
      'Copy report',
      'The tables in Markdown, for an issue or an appendix',
      () => copied('Copy report', fitMarkdown(report, snippet ?? undefined)),
    ],
    ['Report', 'The same as a file', () => attempt(() => saveMarkdown(report, snippet))],
    [
      'Fit JSON',
      'normscope/fit/1, with every fitted value: drop it on this page to see it again',
      () => attempt(() => saveJson(report)),
    ],
  ];
  return (
    <div className="fit-home" role="group" aria-label="Take it home">
      <button type="button" className="primary" onClick={() => void session.runFitted(report)}>
        Run it in the microscope
      </button>
      {buttons.map(([name, about, act]) => (
        <button key={name} type="button" title={about} onClick={() => void act()}>
          {said === name ? 'Copied' : name}
        </button>
      ))}
    </div>
  );
}
