// Pictures as image models want them, against what Pillow 12.3.0 makes of the same picture.
import { expect, test } from 'vitest';
import { DEFAULT_FORM, pixelsOf, readImageForm, resize, testPicture } from '../../src/model/pixels.ts';
import type { ImageForm, Picture } from '../../src/model/pixels.ts';

const [WIDTH, HEIGHT] = [7, 5];
/** The same formula made the picture that Pillow resized. */
const PICTURE: Picture = {
  width: WIDTH,
  height: HEIGHT,
  rgba: Uint8ClampedArray.from({ length: 4 * WIDTH * HEIGHT }, (_, i) => {
    const [c, x, y] = [i % 4, (i >> 2) % WIDTH, Math.floor((i >> 2) / WIDTH)];
    return [(37 * x + 91 * y) % 256, (53 * x * y + 11) % 256, 255 - 29 * x - 17 * y + (29 * x + 17 * y > 255 ? 256 : 0), 255][c] ?? 0; // prettier-ignore
  }),
};
const rgb = ({ rgba }: Picture): number[] => [...rgba].filter((_, i) => i % 4 !== 3);

/** `Image.resize(size, BILINEAR | BICUBIC).tobytes()`, the whole of 3 × 2 and the first two rows of 9 × 8. */
// prettier-ignore
const PILLOW: readonly (readonly [ImageForm['filter'], number, number, readonly number[]])[] = [
  ['linear', 3, 2, [99, 54, 213, 129, 104, 151, 129, 65, 89, 106, 107, 179, 118, 144, 117, 128, 87, 55]],
  ['cubic', 3, 2, [95, 46, 219, 130, 107, 153, 133, 62, 87, 110, 109, 181, 116, 154, 115, 126, 86, 49]],
  ['linear', 9, 8, [0, 11, 255, 25, 11, 236, 53, 11, 213, 82, 11, 191, 111, 11, 168, 140, 11, 145, 169, 11, 123, 197, 11, 100, 222, 11, 81, 40, 11, 248, 65, 26, 229, 93, 45, 206, 122, 63, 184, 151, 81, 161, 180, 99, 138, 146, 54, 116, 125, 23, 93, 150, 38, 74]],
  ['cubic', 9, 8, [0, 11, 255, 15, 9, 238, 46, 5, 214, 75, 3, 192, 104, 0, 169, 132, 0, 146, 173, 4, 124, 213, 10, 100, 236, 6, 81, 31, 10, 250, 52, 22, 231, 90, 37, 207, 127, 54, 185, 155, 79, 162, 192, 100, 139, 148, 50, 117, 122, 14, 93, 154, 33, 74]],
];

test.each(PILLOW)('%s to %i × %i is Pillow’s, to one step of a byte', (filter, width, height, golden) => {
  const ours = rgb(resize(PICTURE, width, height, filter)).slice(0, golden.length);
  const worst = Math.max(...ours.map((value, i) => Math.abs(value - (golden[i] ?? Number.NaN))));
  expect(worst).toBeLessThanOrEqual(1);
  // Pillow's weights are whole numbers: nearly all bytes are the same all the same.
  expect(ours.filter((value, i) => value === golden[i]).length / ours.length).toBeGreaterThan(0.9);
});

test('a picture becomes [channels, height, width], normalized; what is cropped is the middle', () => {
  const shape = { channels: 3, image: [HEIGHT, WIDTH], patch: [1, 1] } as const;
  const pixels = pixelsOf(PICTURE, DEFAULT_FORM, shape);
  expect(pixels).toHaveLength(3 * HEIGHT * WIDTH);
  expect(pixels[0]).toBeCloseTo(-1, 6); // red of the first pixel is 0
  expect(pixels[2 * HEIGHT * WIDTH]).toBeCloseTo(1, 6); // its blue is 255
  const middle = pixelsOf(
    PICTURE,
    { ...DEFAULT_FORM, shortestEdge: HEIGHT, scale: 1, mean: [0], std: [1] },
    { ...shape, image: [3, 3] },
  );
  expect(middle[0]).toBe(PICTURE.rgba[4 * (WIDTH * 1 + 2)]);
  expect(pixelsOf(testPicture(8), DEFAULT_FORM, { ...shape, channels: 1 })).toHaveLength(HEIGHT * WIDTH);
  const huge = { ...DEFAULT_FORM, shortestEdge: 2 ** 14 };
  expect(() => pixelsOf(PICTURE, huge, shape)).toThrow(/pixels, too many/);
  expect(() => pixelsOf(PICTURE, DEFAULT_FORM, { ...shape, channels: 4 })).toThrow(/looks at 4 channels/);
});

test('preprocessor_config.json is taken as it says, and checked', () => {
  expect(readImageForm('p.json', {})).toEqual(DEFAULT_FORM);
  const said = {
    size: { shortest_edge: 256 },
    resample: 3,
    image_mean: [0.485, 0.456, 0.406],
    image_std: [0.229, 0.224, 0.225],
  };
  expect(readImageForm('p.json', said)).toMatchObject({
    shortestEdge: 256,
    filter: 'cubic',
    mean: said.image_mean,
    std: said.image_std,
  });
  expect(readImageForm('p.json', { do_normalize: false, do_rescale: false })).toMatchObject({
    scale: 1,
    mean: [0],
    std: [1],
  });
  for (const bad of [{ image_std: [0] }, { image_mean: 'half' }, { size: -3 }, null])
    expect(() => readImageForm('p.json', bad)).toThrow(/Cannot use "p.json"/);
});
