"""What the fold remembers, and what of it a window is."""
