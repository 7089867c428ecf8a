"""Why a run gave an answer: attribution methods, how far to trust them, and their picture on the map.

    methods.py        what each method is and says about itself (no torch: pages read it)
    attribute.py      `attribute`: any method, task and class, one batch of chips
    faithfulness.py   `faithfulness`: deletion and insertion against random maps of equal smoothness, and beside edges
    stability.py      `stability`: the same question with shuffled weights, and under tiny noise
    what_if.py        a chip without a part of it, and what every head says then
    overlay.py        attribution -> colours -> picture on the map

Import from the files: `methods` and `overlay` are free of torch, the others are not.
"""
