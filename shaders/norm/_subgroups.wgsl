// subgroups: the entry where a row has a whole workgroup, adding in subgroups first
//   over:    one workgroup a row, in subgroups of any size from SUBGROUP up
//   numeric: the same sum in every lane
//   cost:    one barrier a sum, with two halves of shared memory used in turn
//   needs:   subgroups
const PARTS = WG / SUBGROUP;
var<workgroup> part: array<vec2f, 2u * PARTS>;
var<private> turn: u32;
var<private> mine: vec4u; // subgroup, its place in it, lanes of a subgroup, subgroups

fn row_sum(value: vec2f, lane: u32) -> vec2f {
  let sum = subgroupAdd(value);
  if (mine.y == 0u) { part[turn + mine.x] = sum; }
  workgroupBarrier();
  var all = vec2f(0.0);
  for (var i = mine.y; i < mine.w; i += mine.z) { all += part[turn + i]; }
  turn = PARTS - turn;
  return subgroupAdd(all);
}

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32,
           @builtin(num_subgroups) subgroups: u32, @builtin(subgroup_size) size: u32,
           @builtin(subgroup_invocation_id) place: u32) {
  mine = vec4u(subgroup, place, size, subgroups);
  walk(group, groups, 0u, lane);
}
