// weight_bf16: a matrix stored as bf16, two values a u32, rows padded to an even length; arithmetic stays f32
//   over:    pairs of neighbouring values
//   numeric: exact: bf16 is the upper half of an f32
@group(0) @binding(1) var<storage, read> w: array<u32>; // [N, PAIRS]

fn weight_pair(i: u32) -> vec2f {
  let packed = w[i];
  return vec2f(bitcast<f32>(packed << 16u), bitcast<f32>(packed & 0xffff0000u));
}
