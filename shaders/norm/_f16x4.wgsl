// f16x4: a cell is four values in two u32, 8 bytes
//   over:    C divisible by 4
//   numeric: values beyond 65504 do not fit
//   uses:    quad
alias Cell = vec2u;

fn opened(cell: Cell) -> Value {
  return vec4f(unpack2x16float(cell.x), unpack2x16float(cell.y));
}

fn closed(value: Value) -> Cell {
  return vec2u(pack2x16float(value.xy), pack2x16float(value.zw));
}
