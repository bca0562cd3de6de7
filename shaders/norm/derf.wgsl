// derf: y = gamma * erf(alpha * x + shift) + beta
//   over:    each value alone; no statistic
//   paper:   Chen, Lu, Zhu, Sun, Liu 2025, arXiv:2512.10938
//   numeric: see lib/erf and lib/gain: finite for every finite x
//   uses:    pointwise, erf, gain
fn drive(x: f32, sigma: f32) -> f32 {
  return gain(theta[ALPHA], x) + theta[SHIFT];
}

fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  return safe_erf(drive(x, 1.0));
}

fn slope(u: f32) -> f32 {
  let held = clamp(u, -10.0, 10.0);
  return exp(-held * held);
}

fn partials(x: f32, c: u32, stat: vec3f) -> vec3f {
  return 1.1283792 * slope(drive(x, 1.0)) * vec3f(theta[ALPHA], x, 1.0);
}
