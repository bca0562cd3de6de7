import { useEffect } from 'react';
import { setView } from '../store/store.ts';
import { Header } from './controls/Header.tsx';
import { NormBar } from './controls/NormBar.tsx';
import { PromptBar } from './controls/PromptBar.tsx';
import { BenchPage } from './bench/BenchPage.tsx';
import { useDroppedFiles, useExperiment, useIsDark, useWires } from './hooks.ts';
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
  const { store, session } = useWires();
  const section = useExperiment((state) => state.view.section);
  const isDark = useIsDark();
  useEffect(() => {
    document.documentElement.dataset['theme'] = isDark ? 'dark' : 'light';
  }, [isDark]);
  useDroppedFiles((files) => void session.openFiles(files));
  useEffect(() => {
    const free = (event: KeyboardEvent): void => {
      if (event.key === 'Escape') setView(store, { token: null, site: null });
    };
    document.addEventListener('keydown', free);
    return () => document.removeEventListener('keydown', free);
  }, [store]);
  return (
    <>
      <Header />
      {section !== 'microscope' ? (
        <main>
          <FallbackNotice />
          <ProblemBanner />
          {section === 'bench' ? <BenchPage /> : <OnnxPage />}
        </main>
      ) : (
        <>
          <main>
            <PromptBar />
            <NormBar />
            <FallbackNotice />
            <ProblemBanner />
            <Generated />
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
          <TimingStrip />
        </>
      )}
    </>
  );
}
