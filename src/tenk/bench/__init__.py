"""How fast tenk is on this machine, beside the plain way of the same work, both timed in one call."""
