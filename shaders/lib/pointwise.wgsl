// pointwise: no statistic, for members that look at one value alone
//   over:    nothing
fn statistics(row: u32, lane: u32) -> vec3f {
  return vec3f(0.0);
}

fn known(c: u32) -> vec3f {
  return vec3f(0.0);
}

fn core_known(x: f32, c: u32, own: vec3f) -> f32 {
  return core(x, c, own);
}
