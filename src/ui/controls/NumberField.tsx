import { useState } from 'react';

/** A number that is typed: what is no number in range yet changes nothing. */
export function NumberField({
  label,
  value,
  min,
  max,
  isWhole = true,
  title,
  onChange,
}: {
  readonly label: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly isWhole?: boolean;
  readonly title?: string;
  readonly onChange: (value: number) => void;
}) {
  const [typed, setTyped] = useState<string | null>(null);
  const change = (text: string): void => {
    setTyped(text);
    const number = Number(text);
    if (text.trim() !== '' && number >= min && number <= max && (!isWhole || Number.isInteger(number)))
      onChange(number);
  };
  return (
    <label className="number-field" title={title}>
      <span>{label}</span>
      <input
        inputMode={isWhole ? 'numeric' : 'decimal'}
        value={typed ?? String(value)}
        onChange={(event) => change(event.target.value)}
        onBlur={() => setTyped(null)}
      />
    </label>
  );
}
