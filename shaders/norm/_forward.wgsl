// forward: y[t, c] = gamma[c] * core(x[t, c]) + beta[c]
//   over:    one workgroup a row; rows past the grid are walked
//   cost:    reads x once or twice, writes y once
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
           @builtin(local_invocation_index) lane: u32) {
  for (var row = group.x; row < run.T; row += groups.x) {
    let stat = statistics(row, lane);
    for (var c = lane; c < C; c += WG) {
      let i = row * C + c;
      y[i] = fma(theta[GAMMA + c], core(x[i], c, stat), theta[BETA + c]);
    }
  }
}
