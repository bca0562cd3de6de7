// columns: mean and biased variance of each channel over the tokens, written into theta
//   over:    the T tokens of this prompt; one lane a cell of channels, neighbours side by side
//   numeric: the mean is taken from the first token and given in two parts, see lib/column; three passes over x, of values
//            as they are stored
//   uses:    run
// The host adds: WG, C channels, CELLS cells a row of WIDE channels each, and where in theta the statistics stand.
@group(0) @binding(1) var<storage, read_write> theta: array<f32>;   // [P] gets mean, its low part, variance
@group(0) @binding(2) var<uniform> run: Run;

// A cell's library names it; nothing here asks for it.
fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  return x;
}

fn write_columns(cell: u32, mean: vec2f, low: vec2f, variance: vec2f) {
  for (var i = 0u; i < WIDE; i++) {
    let c = WIDE * cell + i;
    if (c >= C) { return; }
    theta[COLUMN_MEAN + c] = mean[i];
    theta[COLUMN_MEAN_LOW + c] = low[i];
    theta[COLUMN_VARIANCE + c] = variance[i];
  }
}

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let cell = id.x;
  if (cell >= CELLS) { return; }
  let share = 1.0 / f32(run.T);
  let origin = settle(cell);
  var offset = Value();
  for (var t = 1u; t < run.T; t++) { offset += (settle(t * CELLS + cell) - origin) * share; }
  let mean = origin + offset;
  var low = Value();
  for (var t = 0u; t < run.T; t++) { low += (opened(x[t * CELLS + cell]) - mean) * share; }
  var variance = Value();
  for (var t = 0u; t < run.T; t++) {
    let d = (opened(x[t * CELLS + cell]) - mean) - low;
    variance += d * d * share;
  }
  write_columns(cell, vec2f(mean), vec2f(low), vec2f(variance));
}
