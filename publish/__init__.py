"""From the text of a notebook to the pages: read, check, execute, store, build.

Nothing here imports the course's own helpers: a notebook that breaks them can still be rendered
up to its failing cell, and the pages are built from outputs alone.
"""
