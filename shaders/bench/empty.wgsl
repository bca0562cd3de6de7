// empty: nothing, so that what remains is the dispatch
//   over:    one workgroup
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>; // [1]

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u) {
  if (group.x == 1u) { y[0] = vec4f(1.0); } // never: there is one workgroup
}
