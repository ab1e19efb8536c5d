"""Stage two in a process: Faust, ownership of partitions, checkpoints."""
