"""Getting data in: importers, the pre-scan, and the one way chips are packed into a data set."""
