"""Many jobs from a table.

table and jobs read it, folders knows what is done, local and cluster are where jobs run, schedule works them off, and
report shows them.

The process that runs a batch never imports torch: each job has a process of its own (texopt.cli.batch_job).
"""
