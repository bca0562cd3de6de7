// write: y = a value that each lane makes of its index
//   over:    N vec4 in steps of the whole grid
//   cost:    writes 16 N bytes, reads none
@group(0) @binding(1) var<storage, read_write> y: array<vec4u>; // [N]

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < N; i += groups.x * WG) { y[i] = vec4u(i); }
}
