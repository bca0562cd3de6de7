// quad: a cell's value in registers is four neighbouring channels
//   over:    four channels; C is divisible by 4, and so are the offsets of the parameters that have C values
alias Value = vec4f;
@group(0) @binding(5) var<storage, read> theta4: array<vec4f>; // theta, four values at a time

fn lead(value: Value) -> f32 {
  return value.x;
}

fn total(value: Value) -> f32 {
  return (value.x + value.y) + (value.z + value.w);
}

fn within(value: Value, cell: u32) -> Value {
  return select(Value(), value, cell < CELLS);
}

fn param(offset: u32, cell: u32) -> Value {
  return theta4[offset / 4u + cell];
}

fn cores(value: Value, cell: u32, stat: vec3f) -> Value {
  let c = 4u * cell;
  return Value(core(value.x, c, stat), core(value.y, c + 1u, stat), core(value.z, c + 2u, stat),
               core(value.w, c + 3u, stat));
}
