"""How good a run is: metrics on the blocked test split beside cheap baselines, with intervals."""
