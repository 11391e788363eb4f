"""The command line: options, commands, the recipe of a style, batches."""
