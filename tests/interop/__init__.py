"""Do the programs that exports are for read them as they are meant? scripts/test-interop."""
