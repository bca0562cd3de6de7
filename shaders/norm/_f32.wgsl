// f32: a cell is one value
//   over:    any C
//   uses:    single
alias Cell = f32;

fn opened(cell: Cell) -> Value {
  return cell;
}

fn closed(value: Value) -> Cell {
  return value;
}
