"""What the notebooks of the course call, one subject a file; `utils` hands the names on.

Floors, from the ground up; a module imports from its own floor or from those below, without a
circle, and never `utils`, `studies` or `publish` (`tests/test_house.py` holds this):

1. `data`, `transforms`, `diagnostics`, `record`, `compile_cache`, `indices`, `ordered_logit`,
   `count_loops`
2. `plots`, `display`, `gate`, `scores`, `pairs`, `correlated`, `formula`
3. `sampling`, `start`, `graphs`, `frogs`, `living`
"""
