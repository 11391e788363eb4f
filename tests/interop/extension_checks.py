"""Runs inside Blender: operates the extension as a person would, and writes down what went wrong.

As extension_job.py, where the JSON also has "wheel" (a package to install as texopt) and "report" (a file). The report
then has for every function of extension_scenes.py and extension_runs.py whose name begins with check_ "" or how it
failed.
"""

import json
import traceback
from pathlib import Path

import extension_job as job
import extension_runs
import extension_scenes

job.install()
report = {}
for module in (extension_scenes, extension_runs):
    for name, function in vars(module).items():
        if name.startswith("check_"):
            try:
                function()
                report[name] = ""
            except Exception:
                report[name] = traceback.format_exc()
Path(job.JOB["report"]).write_text(json.dumps(report))
