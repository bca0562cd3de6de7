// gemv_shared: sums of a group's lanes through shared memory
//   over:    ACROSS lanes, a power of two
//   cost:    log2(ACROSS) + 1 barriers a token
var<workgroup> gathered: array<vec4f, LANES>;

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t0 = group.y * ROWS;
  prepare(t0, lane);
  let along = lane % ACROSS;
  let n0 = 4u * (group.x * (LANES / ACROSS) + lane / ACROSS);
  let parts = part_of(t0, n0, along);
  for (var slot = 0u; slot < ROWS; slot++) {
    gathered[lane] = parts[slot];
    workgroupBarrier();
    for (var half = ACROSS / 2u; half > 0u; half /= 2u) {
      if (along < half) { gathered[lane] += gathered[lane + half]; }
      workgroupBarrier();
    }
    store_four(t0 + slot, n0, along, gathered[lane - along]);
    workgroupBarrier();
  }
}
