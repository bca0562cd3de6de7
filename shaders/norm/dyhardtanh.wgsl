// dyhardtanh: y = gamma * clamp(alpha * x, -1, 1) + beta
//   over:    each value alone; no statistic
//   paper:   Zhu, Chen, He, LeCun, Liu 2025, arXiv:2503.10622
//   numeric: see lib/gain: finite for every finite x
//   uses:    pointwise, gain
fn drive(x: f32, sigma: f32) -> f32 {
  return gain(theta[ALPHA], x);
}

fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  return clamp(drive(x, 1.0), -1.0, 1.0);
}

fn slope(u: f32) -> f32 {
  return select(0.0, 1.0, abs(u) < 1.0);
}

fn partials(x: f32, c: u32, stat: vec3f) -> vec3f {
  return slope(drive(x, 1.0)) * vec3f(theta[ALPHA], x, 0.0);
}
