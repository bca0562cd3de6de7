// gemv_subgroups: sums of a group's lanes within subgroups, and through shared memory where a group has several
//   over:    ACROSS lanes, a multiple of the subgroup's size
//   needs:   subgroups
//   cost:    no barrier where a group is one subgroup (ALONE), else two a token
var<workgroup> gathered: array<vec4f, LANES>; // one a subgroup; its least size is not known here

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_id) subgroup: u32,
           @builtin(subgroup_size) size: u32, @builtin(subgroup_invocation_id) place: u32) {
  let lane = subgroup * size + place; // neighbours in a subgroup are neighbours along K
  let t0 = group.y * ROWS;
  prepare(t0, lane);
  let along = lane % ACROSS;
  let n0 = 4u * (group.x * (LANES / ACROSS) + lane / ACROSS);
  let parts = part_of(t0, n0, along);
  for (var slot = 0u; slot < ROWS; slot++) {
    var sum = subgroupAdd(parts[slot]);
    if (!ALONE) {
      if (place == 0u) { gathered[subgroup] = sum; }
      workgroupBarrier();
      let several = ACROSS / size;
      let first = (lane / ACROSS) * several;
      sum = vec4f(0.0);
      for (var i = 0u; i < several; i++) { sum += gathered[first + i]; }
      workgroupBarrier(); // the next token writes gathered again
    }
    store_four(t0 + slot, n0, along, sum);
  }
}
