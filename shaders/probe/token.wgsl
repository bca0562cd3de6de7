// token: statistics of each token at a norm site, over its C channels
//   over:    one workgroup a row; biased moments; values that are NaN or Inf are counted and left out of the rest
//   numeric: two passes from the row's first value, as layernorm; moments are taken of d / sigma so that x^4 stays finite
//   uses:    row
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = FROM + group.x;
  let stat = statistics(row, lane);
  var count = vec2f(0.0);   // finite inputs, NaN or Inf in input or output
  var extreme = vec2f(-3.4e38); // max of x, max of -x
  var origin = 0.0;
  for (var c = lane; c < C; c += WG) {
    let v = x[row * C + c];
    let fine = is_finite(v);
    count += vec2f(f32(fine), f32(!fine) + f32(!is_finite(y[row * C + c])));
    if (fine) { extreme = max(extreme, vec2f(v, -v)); }
  }
  count = row_sum(count, lane);
  extreme = row_max(extreme, lane);
  let share = 1.0 / max(count.x, 1.0);
  let middle = clamp(x[row * C], -extreme.y, extreme.x);
  var first = vec2f(0.0);   // mean from the middle, sum of y^2
  for (var c = lane; c < C; c += WG) {
    let v = x[row * C + c];
    let out = y[row * C + c];
    if (is_finite(v)) { first.x += (v - middle) * share; }
    if (is_finite(out)) { first.y += out * out * INV_C; }
  }
  first = row_sum(first, lane);
  let mean = middle + first.x;
  var second = vec2f(0.0);  // variance, mean of x^2
  for (var c = lane; c < C; c += WG) {
    let v = x[row * C + c];
    if (is_finite(v)) { second += vec2f((v - mean) * (v - mean), v * v) * share; }
  }
  second = row_sum(second, lane);
  let sigma = sqrt(second.x);
  let scale = 1.0 / max(sigma, 1e-30);
  var shape = vec2f(0.0);   // mean of (d / sigma)^4, mean slope
  var beyond = vec2f(0.0);  // share of |u| > 1, > 2
  var last = vec2f(0.0);    // share of |u| > 3
  var largest = vec2f(0.0); // max |core|, max |u|
  for (var c = lane; c < C; c += WG) {
    let v = x[row * C + c];
    if (is_finite(v)) {
      let d = (v - mean) * scale;
      let u = abs(drive(v, sigma));
      let out = abs(core(v, c, stat));
      shape += vec2f(d * d * d * d, slope(u)) * share;
      beyond += vec2f(f32(u > 1.0), f32(u > 2.0)) * share;
      last.x += f32(u > 3.0) * share;
      largest = max(largest, vec2f(select(0.0, out, is_finite(out)), u));
    }
  }
  shape = row_sum(shape, lane);
  beyond = row_sum(beyond, lane);
  last = row_sum(last, lane);
  largest = row_max(largest, lane);
  if (lane > 0u) { return; }
  let at = (site.index * ROWS + row) * FIELDS;
  token_stats[at + F_MEAN] = mean;
  token_stats[at + F_STD] = sigma;
  token_stats[at + F_RMS] = sqrt(second.y);
  token_stats[at + F_MIN] = -extreme.y;
  token_stats[at + F_MAX] = extreme.x;
  token_stats[at + F_ABS_MAX] = max(extreme.x, extreme.y);
  token_stats[at + F_KURTOSIS] = select(0.0, shape.x - 3.0, sigma > 0.0);
  token_stats[at + F_OVER1] = beyond.x;
  token_stats[at + F_OVER2] = beyond.y;
  token_stats[at + F_OVER3] = last.x;
  token_stats[at + F_SLOPE] = shape.y;
  token_stats[at + F_OUT_RMS] = sqrt(first.y);
  token_stats[at + F_CORE_ABS_MAX] = largest.x;
  token_stats[at + F_DRIVE_ABS_MAX] = largest.y;
  token_stats[at + F_NONFINITE] = count.y;
}
