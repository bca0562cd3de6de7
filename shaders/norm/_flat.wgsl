// flat: y[t, c] = gamma[c] * core(x[t, c]) + beta[c] for members that take no sum over the row
//   over:    one lane a column of cells, WIDE × TALL lanes a workgroup; rows past the grid are walked. What belongs to
//            the column is read once a lane, and the next row is under way while this one is computed
//   cost:    reads x once, writes y once
@compute @workgroup_size(WIDE, TALL)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let cell = id.x;
  if (cell >= CELLS || id.y >= run.T) { return; }
  let c = 4u * cell;
  let own = mat4x3f(known(c), known(c + 1u), known(c + 2u), known(c + 3u));
  let gamma = param(GAMMA, cell);
  let beta = param(BETA, cell);
  var ahead = settled(id.y * CELLS + cell);
  for (var row = id.y; row < run.T; row += TALL * groups.y) {
    let value = ahead;
    let next = row + TALL * groups.y;
    if (next < run.T) { ahead = settled(next * CELLS + cell); }
    let core = Value(core_known(value.x, c, own[0]), core_known(value.y, c + 1u, own[1]),
                     core_known(value.z, c + 2u, own[2]), core_known(value.w, c + 3u, own[3]));
    let at = row * CELLS + cell;
    settle(at, value);
    y[at] = closed(fma(gamma, core, beta));
  }
}
