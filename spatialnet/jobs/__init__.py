"""Jobs: long work in detached processes, and the compute process that answers interactive questions."""
