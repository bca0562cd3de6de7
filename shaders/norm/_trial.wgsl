// trial: whether the loops of a person's text end, each of whose bodies first asks looped
//   over:    one workgroup a row; every function of the member once a value
//   numeric: a loop is left where it, or all of them in one call together, took MOST_STEPS
//   uses:    row
@group(0) @binding(4) var<storage, read_write> endless: array<u32>; // [1] the loop that was left, from 1; 0 if none was
var<private> steps: u32;
var<private> left: u32;

fn looped(loop_number: u32) -> bool {
  steps += 1u;
  if (steps <= MOST_STEPS) { return false; }
  if (left == 0u) { left = loop_number; }
  return true;
}

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let stat = statistics(row, lane);
  for (var cell = lane; cell < CELLS; cell += TEAM) {
    let at = row * CELLS + cell;
    steps = 0u;
    let u = drive(x[at], 1.0);
    y[at] = core(x[at], cell, stat) + slope(u);
  }
  if (left > 0u) { endless[0] = left; }
}
