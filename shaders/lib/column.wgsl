// column: (x - mean[c]) / sqrt(variance[c] + eps) with statistics that stand in theta
//   over:    the channel; the sums were taken before, in training or by norm/_columns.wgsl
//   numeric: the mean comes in two parts, high and low, so that a mean far larger than sigma keeps its digits
fn statistics(row: u32, lane: u32) -> vec3f {
  return vec3f(0.0);
}

fn centred(x: f32, high: f32, low: f32, variance: f32) -> f32 {
  return ((x - high) - low) * inverseSqrt(variance + EPS);
}
