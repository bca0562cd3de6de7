// column: (x - mean[c]) / sqrt(variance[c] + eps) with statistics that stand in theta
//   over:    the channel; the sums were taken before, in training or by norm/_columns.wgsl. The member gives
//            known(c): the mean's high and low part, and 1 / sqrt(variance + eps)
//   numeric: the mean comes in two parts, high and low, so that a mean far larger than sigma keeps its digits
fn statistics(row: u32, lane: u32) -> vec3f {
  return vec3f(0.0);
}

fn core_known(x: f32, c: u32, own: vec3f) -> f32 {
  return ((x - own.x) - own.y) * own.z;
}

fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  return core_known(x, c, known(c));
}

fn partials(x: f32, c: u32, stat: vec3f) -> vec3f {
  return vec3f(known(c).z, 0.0, 0.0);
}
