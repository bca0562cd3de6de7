// f16: a cell is two values in a u32, read with what every adapter has; rows are padded to an even length
//   over:    any C
//   numeric: values beyond 65504 do not fit
//   uses:    pair
alias Cell = u32;

fn opened(cell: Cell) -> Value {
  return unpack2x16float(cell);
}

fn closed(value: Value) -> Cell {
  return pack2x16float(value);
}
