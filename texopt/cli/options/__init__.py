"""The options of the commands as dataclasses, and as they are saved."""
