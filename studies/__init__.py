"""Studies too long for a notebook: the script, and the stored result with its key."""
