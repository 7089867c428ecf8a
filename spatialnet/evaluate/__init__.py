"""How good a run is: metrics on the test split beside cheap baselines, with intervals."""
