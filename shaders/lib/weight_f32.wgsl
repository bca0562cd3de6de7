// weight_f32: a matrix stored as f32, read two values at a time, rows padded to an even length
//   over:    pairs of neighbouring values
@group(0) @binding(1) var<storage, read> w: array<vec2f>; // [N, PAIRS]

fn weight_pair(i: u32) -> vec2f {
  return w[i];
}
