"""Columns -> counts: which columns an event has, what each is counted as, and the panes they add up to."""
