// reread: y[t, c] = gamma[c] * core(x[t, c]) + beta[c], reading x again from memory whenever it is needed
//   over:    one workgroup a row, so TEAM is all its lanes; rows past the grid are walked
//   cost:    reads x up to three times, writes y once
fn chunk(row: u32, lane: u32, i: u32) -> Value {
  return opened(x[row * CELLS + i * TEAM + lane]);
}

fn first(row: u32) -> f32 {
  return lead(opened(x[row * CELLS]));
}

fn walk(group: vec3u, groups: vec3u, slot: u32, lane: u32) {
  for (var row = group.x; row < run.T; row += groups.x) {
    if (RESIDUAL) {
      for (var cell = lane; cell < CELLS; cell += TEAM) { settle(row * CELLS + cell, settled(row * CELLS + cell)); }
      storageBarrier(); // all lanes look at the row's first value
    }
    let stat = statistics(row, lane);
    for (var cell = lane; cell < CELLS; cell += TEAM) {
      let at = row * CELLS + cell;
      let out = fma(param(GAMMA, cell), cores(opened(x[at]), cell, stat), param(BETA, cell));
      y[at] = closed(within(out, cell));
    }
  }
}
