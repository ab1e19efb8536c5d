"""What runs it: the verbs of the command line, and processes with their parts."""
