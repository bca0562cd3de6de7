// columns_of_sum: where norm/_columns adds delta to x first, and x is written too
//   over:    each cell alone, by the lane that reads it again
@group(0) @binding(0) var<storage, read_write> x: array<Cell>;  // [T, CELLS]
@group(0) @binding(3) var<storage, read> delta: array<Cell>;    // [T, CELLS]

fn settle(at: u32) -> Value {
  x[at] = closed(opened(x[at]) + opened(delta[at]));
  return opened(x[at]);
}
