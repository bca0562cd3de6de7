// run: what changes from one forward to the next without another pipeline
//   over:    the whole program
struct Run {
  T: u32,    // tokens in this run
  past: u32, // tokens already in the cache
}
