import { useCallback, useMemo, useState } from 'react';
import type { Run, SiteReport } from '../../engine/api.ts';
import { normSpec } from '../../norm/registry.ts';
import { reaches } from '../../norm/saturation.ts';
import { setMicroscope, shownChannel } from '../../store/microscope.ts';
import { recordedOn, setView, shownToken } from '../../store/store.ts';
import { DataTable } from '../controls/DataTable.tsx';
import { ChannelMap, MAP_REACH } from '../charts/ChannelMap.tsx';
import { valueScale } from '../colors.ts';
import { useFigure } from '../controls/Figure.tsx';
import { number, percent, sitePhrase, visible } from '../format.ts';
import { useExperiment, useIsDark, useWires } from '../hooks.ts';
import type { Look } from '../look.ts';

const LISTED = 4;

type Props = { readonly run: Run; readonly report: SiteReport; readonly look: Look | null };

/** Token × channel: where the values sit that reach far, and who they are. */
export function MapFigure({ run, report, look }: Props) {
  if (!look)
    return (
      <div className="placeholder map-figure">
        <Missing />
      </div>
    );
  return <Values run={run} report={report} look={look} />;
}

function Missing() {
  return useExperiment(recordedOn) === null
    ? 'This run has too many values to keep them all: click a site in the list to fetch its own.'
    : 'A recorded run has no single values: they come with the run of this machine.';
}

function Values({ run, report, look }: Props & { readonly look: Look }) {
  const { store } = useWires();
  const token = useExperiment(shownToken);
  const channel = useExperiment(shownChannel);
  const isDark = useIsDark();
  const [isSorted, setSorted] = useState(false);
  const { u, C } = look;
  const spec = normSpec(report.norm);
  const drive = report.isOwn ? `${spec.drive} of ${spec.label} itself` : spec.drive;
  const [figure, menu] = useFigure({
    name: 'map',
    title: `${drive} of each token and channel, ${sitePhrase(report.site)}`,
  });
  const channels = useMemo(() => reaches(u, C, 'channel'), [u, C]);
  const worstTokens = useMemo(() => reaches(u, C, 'token').slice(0, LISTED), [u, C]);
  const order = useMemo(
    () => (isSorted ? channels.map(({ index }) => index) : Array.from({ length: C }, (_, c) => c)),
    [isSorted, channels, C],
  );
  const { color } = useMemo(() => valueScale('signed', [MAP_REACH], isDark), [isDark]);
  const names = useMemo(() => run.tokens.map(({ text }) => visible(text)), [run]);
  const onHover = useCallback(
    (hoverToken: number | null, hoverChannel: number | null) => {
      setView(store, { hoverToken });
      setMicroscope(store, { hoverChannel });
    },
    [store],
  );
  const onPick = useCallback(
    (picked: number, at: number) => {
      setView(store, { token: picked, site: report.site.id });
      setMicroscope(store, { channel: at });
    },
    [store, report.site.id],
  );
  const at = token !== null && channel !== null ? u[token * C + channel] : undefined;
  const stops = [-MAP_REACH, -MAP_REACH / 2, 0, MAP_REACH / 2, MAP_REACH].map(color);
  return (
    <div className="map-figure" ref={figure}>
      <ChannelMap
        values={u}
        C={C}
        order={order}
        names={names}
        color={color}
        token={token}
        channel={channel}
        label={`${drive} of each token and channel; arrow keys move the mark`}
        onHover={onHover}
        onPick={onPick}
      />
      <div className="map-foot">
        <label>
          <input type="checkbox" checked={isSorted} onChange={() => setSorted(!isSorted)} /> furthest channels
          first
        </label>
        <span className="map-here" aria-live="polite">
          {at !== undefined && token !== null ? (
            <>
              <code>{names[token]}</code> channel {channel}: {drive} = <b>{number(at)}</b>
            </>
          ) : (
            `${C} channels across; click a value for its arithmetic`
          )}
        </span>
        <span className="map-scale">
          ≤ −{MAP_REACH} <i style={{ background: `linear-gradient(90deg, ${stops.join(', ')})` }} /> ≥{' '}
          {MAP_REACH}
        </span>
        {menu}
      </div>
      <div className="worst">
        <DataTable name="Channels that reach furthest">
          <thead>
            <tr>
              <th scope="col">furthest channels</th>
              <th scope="col">max |{drive}|</th>
              <th scope="col">in token</th>
              <th scope="col">beyond 2</th>
            </tr>
          </thead>
          <tbody>
            {channels.slice(0, LISTED).map(({ index, most, at: where, over2 }) => (
              <tr key={index} className={index === channel ? 'on' : ''}>
                <th scope="row">
                  <button type="button" className="quiet" onClick={() => onPick(where, index)}>
                    channel {index}
                  </button>
                </th>
                <td>{number(most)}</td>
                <td>
                  <code>{names[where]}</code>
                </td>
                <td>{percent(over2)}</td>
              </tr>
            ))}
          </tbody>
        </DataTable>
        <DataTable name="Tokens that reach furthest">
          <thead>
            <tr>
              <th scope="col">furthest tokens</th>
              <th scope="col">max |{drive}|</th>
              <th scope="col">in channel</th>
              <th scope="col">beyond 2</th>
            </tr>
          </thead>
          <tbody>
            {worstTokens.map(({ index, most, at: where, over2 }) => (
              <tr key={index} className={index === token ? 'on' : ''}>
                <th scope="row">
                  <button type="button" className="quiet" onClick={() => onPick(index, where)}>
                    <code>{names[index]}</code> {index}
                  </button>
                </th>
                <td>{number(most)}</td>
                <td>{where}</td>
                <td>{percent(over2)}</td>
              </tr>
            ))}
          </tbody>
        </DataTable>
      </div>
    </div>
  );
}
