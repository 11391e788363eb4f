"""Names of the files that a batch and the processes of its jobs hand to each other, in a job's folder."""

OPTIONS, INPUTS = "options.yaml", "inputs.json"
