import type { DroppedFile } from '../../store/open-files.ts';
import { chosenFiles } from '../dropped.ts';

/** A button that opens files of the disk. */
export function FileButton({
  words,
  label = words,
  title,
  accept,
  isMultiple = false,
  isFolder = false,
  isQuiet = false,
  onFiles,
}: {
  readonly words: string;
  /** What is opened, where the words alone do not say it. */
  readonly label?: string;
  readonly title?: string;
  readonly accept?: string;
  readonly isMultiple?: boolean;
  readonly isFolder?: boolean;
  readonly isQuiet?: boolean;
  readonly onFiles: (files: readonly DroppedFile[]) => void;
}) {
  return (
    <label className={`file-button ${isQuiet ? 'quiet' : ''}`} title={title}>
      {words}
      <input
        type="file"
        aria-label={label}
        accept={accept}
        multiple={isMultiple || isFolder}
        ref={(input) => void input?.toggleAttribute('webkitdirectory', isFolder)}
        onChange={({ target }) => {
          const files = chosenFiles(target.files);
          target.value = '';
          if (files.length > 0) onFiles(files);
        }}
      />
    </label>
  );
}
