// shared: the entry where several rows share a workgroup and there are no subgroups
//   over:    TEAM neighbouring lanes a row
//   numeric: the same sum in every lane of the team
//   cost:    one barrier a sum, with two halves of shared memory used in turn
var<workgroup> part: array<vec2f, 2u * WG>;
var<private> here: u32;
var<private> turn: u32;

fn row_sum(value: vec2f, lane: u32) -> vec2f {
  part[turn + here] = value;
  workgroupBarrier();
  var sum = vec2f(0.0);
  for (var i = 0u; i < TEAM; i++) { sum += part[turn + here - lane + i]; }
  turn = WG - turn;
  return sum;
}

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) index: u32) {
  here = index;
  walk(group, groups, index / TEAM, index % TEAM);
}
