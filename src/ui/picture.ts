// Pictures out of files, decoded by the browser, and back onto the page.
import type { Picture } from '../model/pixels.ts';
import { Problem } from '../problem.ts';

/** Larger pictures are shrunk by the browser first: no model looks at more. */
const LONGEST_EDGE = 2048;

export const isPicture = ({ type }: Blob): boolean => type.startsWith('image/');

/** Throws Problem `bad-file` for what the browser cannot decode. */
export async function decodePicture(file: File): Promise<Picture> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch (cause) {
    throw new Problem(
      'bad-file',
      `Cannot show "${file.name}": the browser cannot decode it as a picture`,
      'Choose a PNG, JPEG or WebP file.',
      cause,
    );
  }
  const by = Math.min(1, LONGEST_EDGE / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * by));
  const height = Math.max(1, Math.round(bitmap.height * by));
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context?.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  const data = context?.getImageData(0, 0, width, height).data;
  return { width, height, rgba: data ?? new Uint8ClampedArray(4 * width * height) };
}

/** Draws `picture` in its own size; CSS makes it as large as it is to be. */
export function drawPicture(canvas: HTMLCanvasElement, { width, height, rgba }: Picture): void {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  image.data.set(rgba);
  canvas.getContext('2d')?.putImageData(image, 0, 0);
}
