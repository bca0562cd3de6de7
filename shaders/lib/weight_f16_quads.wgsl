// weight_f16_quads: a matrix stored as f16, four values in two u32; rows are whole quads; arithmetic stays f32
//   over:    quads of neighbouring values
@group(0) @binding(1) var<storage, read> w: array<vec2u>; // [N, QUADS]

fn weight_quad(i: u32) -> vec4f {
  let packed = w[i];
  return vec4f(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
