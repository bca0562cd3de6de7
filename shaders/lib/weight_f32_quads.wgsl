// weight_f32_quads: a matrix stored as f32, read four values at a time; rows are whole quads
//   over:    quads of neighbouring values
@group(0) @binding(1) var<storage, read> w: array<vec4f>; // [N, QUADS]

fn weight_quad(i: u32) -> vec4f {
  return w[i];
}
