// team: the entry where a row has a part of a subgroup
//   over:    TEAM lanes of one subgroup a row; TEAM is a power of two and no larger than the smallest subgroup, and a
//            workgroup is made of whole subgroups
//   numeric: the same sum in every lane of the team, by a butterfly
//   cost:    no barrier, no shared memory. IS_WHOLE: every subgroup is one team, and the GPU may add faster itself
//   needs:   subgroups
fn row_sum(value: vec2f, lane: u32) -> vec2f {
  if (IS_WHOLE) { return subgroupAdd(value); }
  var sum = value;
  for (var apart = TEAM / 2u; apart > 0u; apart /= 2u) { sum += subgroupShuffleXor(sum, apart); }
  return sum;
}

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) size: u32,
           @builtin(subgroup_invocation_id) place: u32) {
  walk(group, groups, subgroup * (size / TEAM) + place / TEAM, place % TEAM);
}
