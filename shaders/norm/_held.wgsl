// held: y[t, c] = gamma[c] * core(x[t, c]) + beta[c], the row kept in the registers of its TEAM lanes
//   over:    a team a row, ROWS rows a workgroup; rows past the grid are walked. Where the grid has CHUNKS workgroups in
//            y, each takes the sums of the whole row and writes one chunk of it
//   cost:    reads x once, writes y once
var<private> kept: array<Value, CHUNKS>;

fn chunk(row: u32, lane: u32, i: u32) -> Value {
  return kept[i];
}

fn first(row: u32) -> f32 {
  return lead(settled(row * CELLS));
}

fn walk(group: vec3u, groups: vec3u, slot: u32, lane: u32) {
  for (var base = group.x * ROWS; base < run.T; base += groups.x * ROWS) {
    let row = min(base + slot, run.T - 1u); // a team without a row goes along, for the barriers, and writes nothing
    let isOwn = base + slot < run.T;
    for (var i = 0u; i < CHUNKS; i++) { kept[i] = settled(row * CELLS + min(i * TEAM + lane, CELLS - 1u)); }
    let stat = statistics(row, lane);
    for (var i = 0u; i < CHUNKS; i++) {
      let cell = i * TEAM + lane;
      if (isOwn && cell < CELLS && (groups.y == 1u || group.y == i)) {
        let at = row * CELLS + cell;
        settle(at, kept[i]);
        y[at] = closed(fma(param(GAMMA, cell), cores(kept[i], cell, stat), param(BETA, cell)));
      }
    }
  }
}
