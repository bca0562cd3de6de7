// f32x4: a cell is four values, 16 bytes
//   over:    C divisible by 4
//   uses:    quad
alias Cell = vec4f;

fn opened(cell: Cell) -> Value {
  return cell;
}

fn closed(value: Value) -> Cell {
  return value;
}
