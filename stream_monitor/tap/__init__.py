"""Stage one: source topics -> bundles of counts, block by block."""
