// exp: a = exp(-a) in four chains
//   over:    every lane alone, ITERATIONS times; the start comes from memory
//   cost:    16 ITERATIONS calls a lane
@group(0) @binding(0) var<storage, read> x: array<vec4f>;       // [2]: start, step
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>; // [1]

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  var a0 = x[0] + f32(id.x & 255u) * x[1].x;
  var a1 = a0 * 0.5;
  var a2 = a0 * 0.25;
  var a3 = a0 * 0.125;
  for (var i = 0u; i < ITERATIONS; i++) {
    a0 = exp(-a0);
    a1 = exp(-a1);
    a2 = exp(-a2);
    a3 = exp(-a3);
  }
  let sum = a0 + a1 + a2 + a3;
  if (sum.x == x[1].w) { y[0] = sum; } // never, which nobody can know
}
