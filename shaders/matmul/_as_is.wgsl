// as_is: in = x
//   over:    each value alone
fn prepare(t0: u32, lane: u32) {}

fn stage(t0: u32, k0: u32, lane: u32) {}

fn input(slot: u32, at: u32, k: u32) -> f32 {
  return x[at];
}

fn prepared(v: vec4f, slot: u32, q: u32) -> vec4f {
  return v;
}
