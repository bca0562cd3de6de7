// x_quads: x four values at a time, where K is a multiple of 4
//   over:    quads of neighbouring values
@group(0) @binding(6) var<storage, read> x4: array<vec4f>; // the buffer of x once more: [T, QUADS]

fn x_quad(t: u32, q: u32) -> vec4f {
  return x4[t * QUADS + q];
}
