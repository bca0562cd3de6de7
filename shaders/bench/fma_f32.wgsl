// fma_f32: a = a b + c in eight chains that do not wait for each other
//   over:    every lane alone, ITERATIONS times; operands come from memory, so that nothing is known beforehand
//   cost:    64 ITERATIONS FLOPs a lane
@group(0) @binding(0) var<storage, read> x: array<vec4f>;       // [2]: b near 1; c near 0, and no sum in its last lane
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>; // [1]

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let b = x[0];
  let c = x[1];
  var a0 = vec4f(f32(id.x));
  var a1 = a0 + 1.0;
  var a2 = a0 + 2.0;
  var a3 = a0 + 3.0;
  var a4 = a0 + 4.0;
  var a5 = a0 + 5.0;
  var a6 = a0 + 6.0;
  var a7 = a0 + 7.0;
  for (var i = 0u; i < ITERATIONS; i++) {
    a0 = fma(a0, b, c);
    a1 = fma(a1, b, c);
    a2 = fma(a2, b, c);
    a3 = fma(a3, b, c);
    a4 = fma(a4, b, c);
    a5 = fma(a5, b, c);
    a6 = fma(a6, b, c);
    a7 = fma(a7, b, c);
  }
  let sum = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
  if (sum.x == x[1].w) { y[0] = sum; } // never, which nobody can know
}
