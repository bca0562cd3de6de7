// pointwise: no statistic, for members that look at one value alone
//   over:    nothing
fn statistics(row: u32, lane: u32) -> vec3f {
  return vec3f(0.0);
}
