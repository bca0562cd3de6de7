import { useEffect, useState } from 'react';

type Render = (tex: string) => string;
let loading: Promise<Render> | undefined;

/** KaTeX comes when the first formula does, and not in the first download. */
const loadKatex = (): Promise<Render> =>
  (loading ??= Promise.all([import('katex'), import('katex/dist/katex.min.css')]).then(
    ([{ default: katex }]) =>
      (tex) =>
        katex.renderToString(tex, { throwOnError: false, output: 'htmlAndMathml' }),
  ));

/** A formula of ours, never of a visitor's. */
export function Formula({ tex }: { readonly tex: string }) {
  const [html, setHtml] = useState('');
  useEffect(() => {
    let isCurrent = true;
    void loadKatex().then((render) => {
      if (isCurrent) setHtml(render(tex));
    });
    return () => {
      isCurrent = false;
    };
  }, [tex]);
  // oxlint-disable-next-line react/no-danger
  return <span className="formula" dangerouslySetInnerHTML={{ __html: html }} />;
}
