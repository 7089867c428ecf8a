"""The data sets that the app starts with."""
