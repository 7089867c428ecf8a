"""Work on many scenes or chips, cut into shards that any machine can do on its own."""
