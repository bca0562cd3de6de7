// single: a cell's value in registers is one channel
//   over:    one channel
alias Value = f32;

fn lead(value: Value) -> f32 {
  return value;
}

fn total(value: Value) -> f32 {
  return value;
}

fn within(value: Value, cell: u32) -> Value {
  return select(0.0, value, cell < CELLS);
}

fn param(offset: u32, cell: u32) -> Value {
  return theta[offset + cell];
}

fn cores(value: Value, cell: u32, stat: vec3f) -> Value {
  return core(value, cell, stat);
}
