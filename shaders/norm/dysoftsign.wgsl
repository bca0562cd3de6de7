// dysoftsign: y = gamma * u / (1 + |u|) + beta, u = alpha * x + shift
//   over:    each value alone; no statistic
//   paper:   Chen, Lu, Zhu, Sun, Liu 2025, arXiv:2512.10938
//   numeric: held to 1e30, where f32 rounds to 1: finite for every finite x
//   uses:    pointwise, gain
fn drive(x: f32, sigma: f32) -> f32 {
  return gain(theta[ALPHA], x) + theta[SHIFT];
}

fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  let u = clamp(drive(x, 1.0), -1e30, 1e30);
  return u / (1.0 + abs(u));
}

fn slope(u: f32) -> f32 {
  let r = 1.0 / (1.0 + min(abs(u), 1e18));
  return r * r;
}

fn partials(x: f32, c: u32, stat: vec3f) -> vec3f {
  return slope(drive(x, 1.0)) * vec3f(theta[ALPHA], x, 1.0);
}
