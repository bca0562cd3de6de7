// columns: mean and biased variance of each channel over the tokens, written into theta
//   over:    the T tokens of this prompt; one lane a channel, neighbours side by side
//   numeric: the mean is taken from the first token and given in two parts, see lib/column; three passes over x
//   uses:    run
@group(0) @binding(0) var<storage, read> x: array<f32>;             // [T, C]
@group(0) @binding(1) var<storage, read_write> theta: array<f32>;   // [P] gets mean, its low part, variance
@group(0) @binding(2) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  if (c >= C) { return; }
  let share = 1.0 / f32(run.T);
  let origin = x[c];
  var offset = 0.0;
  for (var t = 0u; t < run.T; t++) { offset += (x[t * C + c] - origin) * share; }
  let mean = origin + offset;
  var low = 0.0;
  for (var t = 0u; t < run.T; t++) { low += (x[t * C + c] - mean) * share; }
  var variance = 0.0;
  for (var t = 0u; t < run.T; t++) {
    let d = (x[t * C + c] - mean) - low;
    variance += d * d * share;
  }
  theta[COLUMN_MEAN + c] = mean;
  theta[COLUMN_MEAN_LOW + c] = low;
  theta[COLUMN_VARIANCE + c] = variance;
}
