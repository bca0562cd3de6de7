// copy: y = x, 16 bytes a lane and step, neighbouring lanes on neighbouring bytes
//   over:    N vec4 in steps of the whole grid
//   cost:    reads 16 N bytes, writes 16 N
@group(0) @binding(0) var<storage, read> x: array<vec4u>;       // [N]
@group(0) @binding(1) var<storage, read_write> y: array<vec4u>; // [N]

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < N; i += groups.x * WG) { y[i] = x[i]; }
}
