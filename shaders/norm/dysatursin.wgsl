// dysatursin: y = gamma * sin(clamp(u, -pi/2, pi/2)) + beta, u = alpha * x + shift
//   over:    each value alone; no statistic
//   paper:   Chen, Lu, Zhu, Sun, Liu 2025, arXiv:2512.10938
//   numeric: WGSL's own sin is only good to 2^-11; here Taylor's series to u^13 and u^14, 1e-8 at pi/2
//   uses:    pointwise, gain
fn drive(x: f32, sigma: f32) -> f32 {
  return gain(theta[ALPHA], x) + theta[SHIFT];
}

fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  let u = clamp(drive(x, 1.0), -1.57079633, 1.57079633);
  let s = u * u;
  var p = fma(1.6059044e-10, s, -2.5052108e-8);
  p = fma(p, s, 2.7557319e-6);
  p = fma(p, s, -1.9841270e-4);
  p = fma(p, s, 8.3333333e-3);
  p = fma(p, s, -1.6666667e-1);
  return fma(p * s, u, u);
}

fn slope(u: f32) -> f32 {
  let s = min(u * u, 2.4674011);
  var p = fma(-1.1470746e-11, s, 2.0876757e-9);
  p = fma(p, s, -2.7557319e-7);
  p = fma(p, s, 2.4801587e-5);
  p = fma(p, s, -1.3888889e-3);
  p = fma(p, s, 4.1666667e-2);
  p = fma(p, s, -0.5);
  return fma(p, s, 1.0);
}

fn partials(x: f32, c: u32, stat: vec3f) -> vec3f {
  return slope(drive(x, 1.0)) * vec3f(theta[ALPHA], x, 1.0);
}
