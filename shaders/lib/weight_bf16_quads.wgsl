// weight_bf16_quads: a matrix stored as bf16, four values in two u32; rows are whole quads; arithmetic stays f32
//   over:    quads of neighbouring values
//   numeric: exact: bf16 is the upper half of an f32
@group(0) @binding(1) var<storage, read> w: array<vec2u>; // [N, QUADS]

fn weight_quad(i: u32) -> vec4f {
  let packed = w[i];
  let low = bitcast<vec2f>(packed << vec2u(16u));
  let high = bitcast<vec2f>(packed & vec2u(0xffff0000u));
  return vec4f(low.x, high.x, low.y, high.y);
}
