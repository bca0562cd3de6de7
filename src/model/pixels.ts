// A picture as an image model wants it: resized as Pillow does (the models were trained so), scaled and normalized.
import * as v from 'valibot';
import type { PatchShape } from '../kernel/embed.ts';
import { Problem } from '../problem.ts';

/** How a picture becomes the model's image. */
export type ImageForm = {
  /** To this shorter edge, then cropped in the middle; null stretches the whole picture. */
  readonly shortestEdge: number | null;
  readonly filter: 'linear' | 'cubic';
  readonly scale: number;
  /** One a channel, or one for all. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
};

/** What the transformers library takes for ViT where nothing else is said. */
export const DEFAULT_FORM: ImageForm = {
  shortestEdge: null,
  filter: 'linear',
  scale: 1 / 255,
  mean: [0.5],
  std: [0.5],
};

const PIL_CUBIC = 3;
const edge = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(2 ** 14));
const perChannel = v.pipe(v.array(v.pipe(v.number(), v.finite())), v.minLength(1), v.maxLength(64));
const FormFile = v.object({
  size: v.nullish(v.union([edge, v.object({ shortest_edge: v.optional(edge) })])),
  do_rescale: v.nullish(v.boolean(), true),
  do_normalize: v.nullish(v.boolean(), true),
  resample: v.nullish(v.number(), 2),
  rescale_factor: v.nullish(v.pipe(v.number(), v.finite()), DEFAULT_FORM.scale),
  image_mean: v.nullish(perChannel, [...DEFAULT_FORM.mean]),
  image_std: v.nullish(
    v.pipe(
      perChannel,
      v.everyItem((one) => one > 0),
    ),
    [...DEFAULT_FORM.std],
  ),
});

/** preprocessor_config.json. Throws Problem `bad-file` naming the field. */
export function readImageForm(file: string, value: unknown): ImageForm {
  const parsed = v.safeParse(FormFile, value, { abortEarly: true });
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new Problem(
      'bad-file',
      `Cannot use "${file}": ${v.getDotPath(issue) ?? 'as a whole'}: ${issue.message.slice(0, 300)}`,
      'Fetch the file again, or leave it out: then the family’s own settings are taken.',
    );
  }
  const { size, resample, do_rescale, do_normalize, rescale_factor, image_mean, image_std } = parsed.output;
  return {
    shortestEdge: typeof size === 'object' ? (size?.shortest_edge ?? null) : null,
    filter: resample === PIL_CUBIC ? 'cubic' : 'linear',
    scale: do_rescale ? rescale_factor : 1,
    mean: do_normalize ? image_mean : [0],
    std: do_normalize ? image_std : [1],
  };
}

/** In between, before it is cropped: a long picture or a strange configuration could ask for any number. */
const MOST_PIXELS = 2 ** 25;

/** A decoded picture: [height, width, 4] bytes. */
export type Picture = {
  readonly width: number;
  readonly height: number;
  readonly rgba: Uint8ClampedArray;
};

const FILTERS = {
  linear: { reach: 1, at: (x: number) => Math.max(0, 1 - Math.abs(x)) },
  cubic: {
    reach: 2,
    at: (signed: number) => {
      const x = Math.abs(signed);
      if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
      return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
    },
  },
} as const;

/** One axis of a resize with antialiasing: for each new place, the old ones it takes and their weights. */
function taps(from: number, to: number, filter: ImageForm['filter']): { first: number; weights: number[] }[] {
  const { reach, at } = FILTERS[filter];
  const ratio = from / to;
  const stretch = Math.max(1, ratio);
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * ratio;
    const first = Math.max(0, Math.floor(centre - reach * stretch + 0.5));
    const end = Math.min(from, Math.floor(centre + reach * stretch + 0.5));
    const raw = Array.from({ length: end - first }, (__, k) => at((first + k + 0.5 - centre) / stretch));
    const total = raw.reduce((sum, weight) => sum + weight, 0);
    return { first, weights: raw.map((weight) => weight / total) };
  });
}

/** Numbers of lines and of places along them, and how far apart they lie, before and after. */
type Axis = Readonly<
  Record<'lines' | 'from' | 'to' | 'step' | 'lineStep' | 'newStep' | 'newLineStep', number>
>;

/** Bytes [lines, from, 4] to [lines, to, 4], or along columns, rounded to bytes as Pillow does after each axis. */
function resizeAxis(
  bytes: Uint8ClampedArray,
  { lines, from, to, step, lineStep, newStep, newLineStep }: Axis,
  filter: ImageForm['filter'],
): Uint8ClampedArray {
  const out = new Uint8ClampedArray(lines * to * 4);
  taps(from, to, filter).forEach(({ first, weights }, i) => {
    for (let line = 0; line < lines; line++) {
      for (let c = 0; c < 4; c++) {
        let sum = 0;
        weights.forEach((weight, k) => {
          sum += weight * (bytes[line * lineStep + (first + k) * step + c] ?? 0);
        });
        out[line * newLineStep + i * newStep + c] = Math.floor(sum + 0.5);
      }
    }
  });
  return out;
}

/** `picture` with another width and height. */
export function resize(
  picture: Picture,
  width: number,
  height: number,
  filter: ImageForm['filter'],
): Picture {
  const { width: W, height: H } = picture;
  let { rgba } = picture;
  if (width !== W) {
    const axis = {
      lines: H,
      from: W,
      to: width,
      step: 4,
      lineStep: 4 * W,
      newStep: 4,
      newLineStep: 4 * width,
    };
    rgba = resizeAxis(rgba, axis, filter);
  }
  if (height !== H) {
    const row = 4 * width;
    const axis = { lines: width, from: H, to: height, step: row, lineStep: 4, newStep: row, newLineStep: 4 };
    rgba = resizeAxis(rgba, axis, filter);
  }
  return { width, height, rgba };
}

/**
 * [channels, height, width] of what the model looks at; one channel is the luma of ITU-R 601, as Pillow takes it.
 * Throws Problem `unsupported` for other numbers of channels than one and three.
 */
export function pixelsOf(
  picture: Picture,
  form: ImageForm,
  { channels, image: [height, width] }: PatchShape,
): Float32Array {
  if (channels !== 1 && channels !== 3) {
    throw new Problem(
      'unsupported',
      `Cannot show this model a picture: it looks at ${channels} channels and a picture has three`,
      'Choose a model for colour or grey pictures.',
    );
  }
  const { shortestEdge: short } = form;
  const by = short === null ? null : short / Math.min(picture.width, picture.height);
  const wide = by === null ? width : Math.round(picture.width * by);
  const high = by === null ? height : Math.round(picture.height * by);
  if (wide * high > MOST_PIXELS) {
    throw new Problem(
      'unsupported',
      `Cannot show this picture to the model: it would have ${wide} × ${high} pixels, too many`,
      'Choose a picture that is less long, or mend preprocessor_config.json.',
    );
  }
  const { rgba } = resize(picture, wide, high, form.filter);
  const [left, top] = [Math.floor((wide - width) / 2), Math.floor((high - height) / 2)];
  const pixels = new Float32Array(channels * height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = 4 * ((y + top) * wide + x + left);
      const isInside = y + top >= 0 && y + top < high && x + left >= 0 && x + left < wide;
      const [r, g, b] = isInside ? [rgba[at] ?? 0, rgba[at + 1] ?? 0, rgba[at + 2] ?? 0] : [0, 0, 0];
      const values = channels === 3 ? [r, g, b] : [Math.round(0.299 * r + 0.587 * g + 0.114 * b)];
      values.forEach((value, c) => {
        const mean = form.mean[c] ?? form.mean[0] ?? 0;
        const std = form.std[c] ?? form.std[0] ?? 1;
        pixels[(c * height + y) * width + x] = (value * form.scale - mean) / std;
      });
    }
  }
  return pixels;
}

/** Something to look at before anybody gave a picture: a disc over a slope of colours. */
export function testPicture(side = 96): Picture {
  const rgba = new Uint8ClampedArray(side * side * 4);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const isDisc = Math.hypot(x - 0.5 * side, y - 0.45 * side) < 0.28 * side;
      const color = isDisc ? [235, 160, 60] : [(60 * x) / side, 90 + (80 * y) / side, 170 - (60 * x) / side];
      rgba.set([...color, 255], 4 * (y * side + x));
    }
  }
  return { width: side, height: side, rgba };
}
