import type { ReactNode } from 'react';
import { recordedOn } from '../../store/store.ts';
import { useExperiment } from '../hooks.ts';
import { planAlpha, planSource } from '../../model/plan.ts';
import type { ParamSource, Plan } from '../../model/plan.ts';
import type { OwnNorm } from '../../kernel/own.ts';
import { ownName } from '../../store/own.ts';

const WORDS: Record<ParamSource, { readonly text: string; readonly about: string }> = {
  twin: { text: 'native', about: 'These weights were trained with this norm.' },
  raw: {
    text: 'raw swap',
    about: 'These weights were trained with another norm; only the operation was changed.',
  },
  fitted: { text: 'fitted', about: 'Another norm was put on these weights and calibrated to them.' },
};

/** Where a norm's parameters come from. */
function Badge({ source }: { readonly source: ParamSource }) {
  const { text, about } = WORDS[source];
  return (
    <span className={`badge ${source}`} title={about}>
      {text}
    </span>
  );
}

/** Whose text computed a member. */
function OwnBadge({ own }: { readonly own: Pick<OwnNorm, 'norm'> }) {
  return (
    <span className="badge own-text" title="WGSL of your own computes it. It stays in this tab.">
      {ownName(own)}
    </span>
  );
}

/** Where parameters come from, and whose text reads them: no weights were trained with a person's own. */
export function SourceBadges({
  source,
  own,
}: {
  readonly source: ParamSource;
  readonly own: Pick<OwnNorm, 'norm'> | undefined;
}) {
  return (
    <>
      {(!own || source !== 'twin') && <Badge source={source} />}
      {own && <OwnBadge own={own} />}
    </>
  );
}

/** A plan's source, whose text it runs, and α where it was turned. */
export function PlanBadge({ plan }: { readonly plan: Plan }) {
  const alpha = planAlpha(plan);
  return (
    <>
      <SourceBadges source={planSource(plan)} own={plan.own} />
      {alpha === null ? (
        <Tag about="Sites have their α multiplied by different numbers.">α by site</Tag>
      ) : (
        alpha !== 1 && <Tag about="Every site’s own α is multiplied by this.">α × {alpha.toFixed(2)}</Tag>
      )}
    </>
  );
}

export function Tag({
  children,
  about,
  tone = '',
}: {
  readonly children: ReactNode;
  readonly about: string;
  readonly tone?: string;
}) {
  return (
    <span className={`badge ${tone}`} title={about}>
      {children}
    </span>
  );
}

/** Says so where the shown run is out of a file: nothing was computed here yet. */
export function RecordedBadge({ isShort = false }: { readonly isShort?: boolean }) {
  const machine = useExperiment(recordedOn);
  return (
    machine !== null && (
      <Tag
        tone="recorded"
        about={`Recorded on ${machine}, not computed here: the run of this machine replaces it`}
      >
        recorded{isShort ? '' : ` on ${machine}`}
      </Tag>
    )
  );
}
