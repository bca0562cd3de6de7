// weight_f16: a matrix stored as f16, two values a u32, rows padded to an even length; arithmetic stays f32
//   over:    pairs of neighbouring values
@group(0) @binding(1) var<storage, read> w: array<u32>; // [N, PAIRS]

fn weight_pair(i: u32) -> vec2f {
  return unpack2x16float(w[i]);
}
