// columns_of_x: where norm/_columns reads x as it lies
//   over:    each cell alone
@group(0) @binding(0) var<storage, read> x: array<Cell>;  // [T, CELLS]

fn settle(at: u32) -> Value {
  return opened(x[at]);
}
