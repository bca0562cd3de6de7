// straight: what stands in for the bend of members that have none: u = x / sigma of the row, slope 1
//   over:    each value alone
fn drive(x: f32, sigma: f32) -> f32 {
  return x / max(sigma, 1e-30);
}

fn slope(u: f32) -> f32 {
  return 1.0;
}
