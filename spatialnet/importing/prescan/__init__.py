"""The pre-scan: everything a listing names is opened once, and what is known of it is written down."""
