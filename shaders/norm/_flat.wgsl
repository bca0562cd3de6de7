// flat: y[t, c] = gamma[c] * core(x[t, c]) + beta[c] for members that take no sum over the row
//   over:    one lane a column of cells; WIDE × TALL lanes a workgroup. Rows past the grid are walked, BATCH at a time
//            so that BATCH reads are under way at once; what belongs to the column is read once a lane
//   cost:    reads x once, writes y once
@compute @workgroup_size(WIDE, TALL)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let cell = id.x;
  if (cell >= CELLS) { return; }
  let gamma = param(GAMMA, cell);
  let beta = param(BETA, cell);
  let c = 4u * cell;
  let own = array(known(c), known(c + 1u), known(c + 2u), known(c + 3u));
  let stride = TALL * groups.y;
  for (var row = id.y; row < run.T; row += BATCH * stride) {
    var batch: array<Value, BATCH>;
    for (var i = 0u; i < BATCH; i++) {
      let next = row + i * stride;
      if (next < run.T) { batch[i] = settled(next * CELLS + cell); }
    }
    for (var i = 0u; i < BATCH; i++) {
      let next = row + i * stride;
      if (next < run.T) {
        let at = next * CELLS + cell;
        let value = batch[i];
        settle(at, value);
        y[at] = closed(fma(gamma, Value(core_known(value.x, c, own[0]), core_known(value.y, c + 1u, own[1]),
                                        core_known(value.z, c + 2u, own[2]), core_known(value.w, c + 3u, own[3])), beta));
      }
    }
  }
}
