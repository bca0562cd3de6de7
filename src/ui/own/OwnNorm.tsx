import { lazy, Suspense } from 'react';
import { useExperiment } from '../hooks.ts';

const Panel = lazy(() => import('./Panel.tsx'));

/** The WGSL editor; its code comes when it is first opened. */
export function OwnNorm() {
  const isOpen = useExperiment((state) => state.own.isOpen);
  if (!isOpen) return null;
  return (
    <Suspense fallback={<p className="soft">Fetching the editor…</p>}>
      <Panel />
    </Suspense>
  );
}
