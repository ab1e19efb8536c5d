"""Stage two as a pure function: what an entry of the log does to the state, and what is put out because of it."""
