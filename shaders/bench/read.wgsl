// read: every value is taken into a sum that is stored only if it is what no values give
//   over:    N vec4 in steps of the whole grid
//   cost:    reads 16 N bytes, writes none
@group(0) @binding(0) var<storage, read> x: array<vec4u>;       // [N]
@group(0) @binding(1) var<storage, read_write> y: array<vec4u>; // [1]; y[0] is the guard

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  var sum = vec4u(0u);
  for (var i = id.x; i < N; i += groups.x * WG) { sum ^= x[i]; }
  if (all(sum == vec4u(0x9e3779b9u, 0x7f4a7c15u, 0xf39cc060u, 0x5cedc834u))) { y[0] = sum; }
}
