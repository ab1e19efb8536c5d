"""What is normal, and what is to be said of a window: references, thresholds, verdicts."""
