"""The alerts' conditions on what was watched: the same as in alerts.yml, by its numbers.

Each function finds what its alert would name, and the figure in words. Two things differ, since Prometheus remembers
and a watch has just begun. A window counts as far as it was watched; and what is less than FEWEST events is no rate and
no ratio, which matters while the window was not watched whole.
"""
