import { useEffect } from 'react';
import type { ReactNode } from 'react';
import { chosenSurvey } from '../store/models.ts';
import type { Hideable, Section } from '../store/store.ts';
import { KeySheet } from './controls/KeySheet.tsx';
import { ModelSheet } from './models/ModelSheet.tsx';
import { openDropped } from './models/open.ts';
import { useKeys } from './keys.ts';
import { Header } from './controls/Header.tsx';
import { NormBar } from './controls/NormBar.tsx';
import { PromptBar } from './controls/PromptBar.tsx';
import { PictureBar } from './models/PictureBar.tsx';
import { BenchPage } from './bench/BenchPage.tsx';
import { FitPage } from './fit/FitPage.tsx';
import { useDroppedFiles, useExperiment, useIsDark, useWires } from './hooks.ts';
import { Compare } from './panels/Compare.tsx';
import { OwnNorm } from './own/OwnNorm.tsx';
import { OnnxPage } from './onnx/OnnxPage.tsx';
import { Generated } from './panels/Generated.tsx';
import { NextTokens } from './panels/NextTokens.tsx';
import { FallbackNotice, ProblemBanner } from './panels/ProblemBanner.tsx';
import { Saturation } from './panels/Saturation.tsx';
import { SiteRail } from './panels/SiteRail.tsx';
import { TimingStrip } from './panels/TimingStrip.tsx';
import { TokenStatistics } from './panels/TokenStatistics.tsx';
import { TokenStrip } from './panels/TokenStrip.tsx';

/** Sections of their own; the microscope is laid out by its parts. */
const PAGES: Record<Exclude<Section, 'microscope'>, () => ReactNode> = {
  bench: BenchPage,
  fit: FitPage,
  file: OnnxPage,
};

export function App() {
  const wires = useWires();
  const section = useExperiment((state) => state.view.section);
  const hide = useExperiment((state) => state.view.hide);
  const Page = section === 'microscope' ? null : PAGES[section];
  const shows = (part: Hideable): boolean => !hide.includes(part);
  const isImage = useExperiment((state) => Boolean(chosenSurvey(state)?.image));
  const isDark = useIsDark();
  useEffect(() => {
    document.documentElement.dataset['theme'] = isDark ? 'dark' : 'light';
  }, [isDark]);
  useDroppedFiles((files) => void openDropped(wires, files));
  useKeys(wires);
  return (
    <>
      {shows('header') && <Header />}
      <KeySheet />
      {Page ? (
        <main>
          <FallbackNotice />
          <ProblemBanner />
          <Page />
        </main>
      ) : (
        <>
          <main>
            {shows('prompt') && (isImage ? <PictureBar /> : <PromptBar />)}
            {shows('norms') && <NormBar />}
            <FallbackNotice />
            <ProblemBanner />
            <OwnNorm />
            <Generated />
            <Compare />
            <TokenStrip />
            <div className="stage">
              <SiteRail />
              <Saturation />
              <div className="side">
                <TokenStatistics />
                <NextTokens />
              </div>
            </div>
          </main>
          {shows('timings') && <TimingStrip />}
        </>
      )}
      <ModelSheet />
    </>
  );
}
