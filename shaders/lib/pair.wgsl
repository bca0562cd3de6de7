// pair: a cell's value in registers is two neighbouring channels; of the last one only the first may be in the row
//   over:    two channels
alias Value = vec2f;

fn lead(value: Value) -> f32 {
  return value.x;
}

fn total(value: Value) -> f32 {
  return value.x + value.y;
}

fn within(value: Value, cell: u32) -> Value {
  return select(Value(), value, 2u * cell + vec2u(0u, 1u) < vec2u(C));
}

fn param(offset: u32, cell: u32) -> Value {
  let c = offset + 2u * cell;
  return Value(theta[c], theta[c + 1u]);
}

fn cores(value: Value, cell: u32, stat: vec3f) -> Value {
  let c = 2u * cell;
  return Value(core(value.x, c, stat), core(value.y, c + 1u, stat));
}
