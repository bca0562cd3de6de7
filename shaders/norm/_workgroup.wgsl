// workgroup: the entry where a row has a whole workgroup and subgroups are not asked for
//   over:    one workgroup a row
//   uses:    row
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) lane: u32) {
  walk(group, groups, 0u, lane);
}
