// dysigmoid: y = gamma / (1 + exp(-alpha * x)) + beta
//   over:    each value alone; no statistic
//   paper:   Zhu, Chen, He, LeCun, Liu 2025, arXiv:2503.10622
//   numeric: as (1 + tanh(u/2)) / 2, see lib/tanh and lib/gain: finite for every finite x
//   uses:    pointwise, tanh, gain
fn drive(x: f32, sigma: f32) -> f32 {
  return gain(theta[ALPHA], x);
}

fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  return 0.5 + 0.5 * safe_tanh(0.5 * drive(x, 1.0));
}

fn slope(u: f32) -> f32 {
  let y = safe_tanh(0.5 * u);
  return 1.0 - y * y;
}

fn partials(x: f32, c: u32, stat: vec3f) -> vec3f {
  return 0.25 * slope(drive(x, 1.0)) * vec3f(theta[ALPHA], x, 0.0);
}
