"""A sentence that says what a run sees in a chip. Plain values, free of torch."""
