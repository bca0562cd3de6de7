import { useExperiment, useWires } from '../hooks.ts';

/** What went wrong, why, and what to do. What was on the screen before stays usable. */
export function ProblemBanner() {
  const { session } = useWires();
  const problem = useExperiment((state) => state.run.problem);
  if (!problem) return null;
  return (
    <div className="problem" role="alert">
      <div>
        <strong>{problem.message}.</strong> <span>{problem.hint}</span>
        {problem.cause && <small>{problem.cause}</small>}
      </div>
      <button type="button" onClick={() => void session.run()}>
        Try again
      </button>
      <button type="button" className="quiet" aria-label="Dismiss" onClick={session.dismissProblem}>
        ✕
      </button>
    </div>
  );
}

/** There is no GPU: everything works all the same, slower. */
export function FallbackNotice() {
  const reason = useExperiment((state) => state.run.environment?.fallbackReason);
  if (!reason) return null;
  return (
    <p className="notice">
      <b>Running on the CPU through onnxruntime.</b> {reason.message}. {reason.hint}
    </p>
  );
}
