"""The optimisation: the loop, optimisers, schedules, checkpoints and the result."""
