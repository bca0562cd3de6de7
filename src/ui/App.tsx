import { useEffect } from 'react';
import type { Hideable } from '../store/store.ts';
import { KeySheet } from './controls/KeySheet.tsx';
import { useKeys } from './keys.ts';
import { Header } from './controls/Header.tsx';
import { NormBar } from './controls/NormBar.tsx';
import { PromptBar } from './controls/PromptBar.tsx';
import { BenchPage } from './bench/BenchPage.tsx';
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

export function App() {
  const wires = useWires();
  const { session } = wires;
  const section = useExperiment((state) => state.view.section);
  const hide = useExperiment((state) => state.view.hide);
  const shows = (part: Hideable): boolean => !hide.includes(part);
  const isDark = useIsDark();
  useEffect(() => {
    document.documentElement.dataset['theme'] = isDark ? 'dark' : 'light';
  }, [isDark]);
  useDroppedFiles((files) => void session.openFiles(files));
  useKeys(wires);
  return (
    <>
      {shows('header') && <Header />}
      <KeySheet />
      {section !== 'microscope' ? (
        <main>
          <FallbackNotice />
          <ProblemBanner />
          {section === 'bench' ? <BenchPage /> : <OnnxPage />}
        </main>
      ) : (
        <>
          <main>
            {shows('prompt') && <PromptBar />}
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
    </>
  );
}
